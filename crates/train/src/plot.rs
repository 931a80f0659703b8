//! A run's history as a picture.
