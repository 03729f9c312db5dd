"""What an operator does. Each module holds some commands of `dialout`; worker/cli.py registers them."""
