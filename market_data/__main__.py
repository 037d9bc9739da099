from market_data.app import main

raise SystemExit(main())
