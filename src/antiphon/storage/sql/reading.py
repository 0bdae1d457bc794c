"""The reads of a store in SQL, whichever engine runs them."""

from __future__ import annotations

from antiphon.storage.sql.database import Reads
from antiphon.storage.sql.ports import SqlConversations, SqlGarbage, SqlRemains, SqlRuns, SqlTree
from antiphon.storage.sql.ports_accounts import SqlAccounts, SqlCredentials
from antiphon.storage.sql.ports_administration import SqlGroups, SqlOperations, SqlRetention
from antiphon.storage.sql.ports_aliases import SqlAliases
from antiphon.storage.sql.ports_branch_forks import SqlBranchForks
from antiphon.storage.sql.ports_chat_sessions import SqlChatSessions
from antiphon.storage.sql.ports_history import SqlHistory
from antiphon.storage.sql.ports_operations import SqlSecrets
from antiphon.storage.sql.ports_quotas import SqlLedger, SqlQuotas
from antiphon.storage.sql.ports_sharing import SqlMembers, SqlShares


class SqlReading:
    """All ports of `Storage` that only read."""

    def __init__(self, reads: Reads) -> None:
        self.accounts = SqlAccounts(reads)
        self.credentials = SqlCredentials(reads)
        self.groups = SqlGroups(reads)
        self.operations = SqlOperations(reads)
        self.retention = SqlRetention(reads)
        self.conversations = SqlConversations(reads)
        self.aliases = SqlAliases(reads)
        self.branch_forks = SqlBranchForks(reads)
        self.chat_sessions = SqlChatSessions(reads)
        self.tree = SqlTree(reads)
        self.runs = SqlRuns(reads)
        self.history = SqlHistory(reads)
        self.garbage = SqlGarbage(reads)
        self.remains = SqlRemains(reads)
        self.members = SqlMembers(reads)
        self.shares = SqlShares(reads)
        self.secrets = SqlSecrets(reads)
        self.quotas = SqlQuotas(reads)
        self.ledger = SqlLedger(reads)
