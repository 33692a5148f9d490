"""Commands of `fettle`, one module for each noun. They parse, call and print; heavy imports wait for their use."""
