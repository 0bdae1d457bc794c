"""All that is kept in MongoDB, in one place to be loaded where MONGODB_URL names one."""

from antiphon.storage.mongo.passage_transfer import PassageTransfer
from antiphon.storage.mongo.store import look, open_mongo
from antiphon.storage.mongo.transfer import MongoTransfer

__all__ = ["MongoTransfer", "PassageTransfer", "look", "open_mongo"]
