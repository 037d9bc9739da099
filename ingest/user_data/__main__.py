from ingest.user_data.app import main

raise SystemExit(main())
