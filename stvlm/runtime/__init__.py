"""What the machine and its operator give: settings."""
