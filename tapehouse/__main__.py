from tapehouse.cli import main

raise SystemExit(main())
