from processor.app import main

raise SystemExit(main())
