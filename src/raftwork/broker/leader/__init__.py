"""All that exists only while this broker is the active leader."""
