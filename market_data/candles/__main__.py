from market_data.candles.app import main

raise SystemExit(main())
