from tapehouse.demo.fleet import main

raise SystemExit(main())
