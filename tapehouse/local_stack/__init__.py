"""Real Kafka, PostgreSQL and Valkey on one machine with nothing installed: from wheels and locked jars."""
