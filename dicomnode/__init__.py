"""A PACS-integrated AI node: receive, keep, queue, classify, report."""
