from recorder.app import main

raise SystemExit(main())
