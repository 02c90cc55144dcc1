"""The science of Echocast: radar sequences, networks, forecasts and their verification. No HTTP, no queue."""
