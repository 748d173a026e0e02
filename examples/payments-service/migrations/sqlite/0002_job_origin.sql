-- What a payment's request carried, so that the provider's steps belong to it in logs, traces and events.
ALTER TABLE psp_jobs ADD COLUMN correlation_id TEXT;
ALTER TABLE psp_jobs ADD COLUMN traceparent TEXT;
