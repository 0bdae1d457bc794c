"""A store around another one: what it does not replace is the inner one's."""

from __future__ import annotations

from antiphon.ports.storage import Journal, Runs, Storage, Tree, UnitOfWork


class AroundStorage:
    """Port `Storage`, passed on; whoever extends it replaces ports."""

    unit_of_work: UnitOfWork
    journal: Journal
    tree: Tree
    runs: Runs

    def __init__(self, inner: Storage) -> None:
        self.unit_of_work = inner.unit_of_work
        self.journal = inner.journal
        self.tree = inner.tree
        self.runs = inner.runs
        self.workers = inner.workers
        self.conversations = inner.conversations
        self.aliases = inner.aliases
        self.branch_forks = inner.branch_forks
        self.chat_sessions = inner.chat_sessions
        self.history = inner.history
        self.garbage = inner.garbage
        self.remains = inner.remains
        self.members = inner.members
        self.shares = inner.shares
        self.quotas = inner.quotas
        self.ledger = inner.ledger
        self.secrets = inner.secrets
        self.accounts = inner.accounts
        self.credentials = inner.credentials
        self.groups = inner.groups
        self.operations = inner.operations
        self.retention = inner.retention
        self.check = inner.check
        self.close = inner.close
