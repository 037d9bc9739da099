from matcher.app import main

raise SystemExit(main())
