"""What is measured: ratios side by side in one run, and what one operator needs and how fast it acts."""
