//! The simulator that tries to make Logboom lose data.
