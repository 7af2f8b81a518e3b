//! Health, metrics and the JSON API over HTTP.
