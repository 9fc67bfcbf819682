"""What every resource's endpoints share: problems, strict JSON, uploads, pages, ETags, transactions."""
