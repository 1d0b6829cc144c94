"""Tells people of alarms by mail and webhook. Owns smtplib and the HTTP client."""
