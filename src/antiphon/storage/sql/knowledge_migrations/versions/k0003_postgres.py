"""What knowledge needs on PostgreSQL: words beside passages, what triggers do on SQLite, large contents.

A passage's terms are lexemes of its scope, so that a search reads no other scope's: see `postgres_words`.
They lie outside the row, which stays as narrow as what searches read of it. Counts of words are kept
like those of passages, for the average length of a passage in its scope.
"""

from __future__ import annotations

from alembic import op

revision = "k0003"
down_revision = "k0002"
branch_labels = None
depends_on = None

TABLES = (
    "ALTER TABLE passages ADD COLUMN terms TSVECTOR, ADD COLUMN length INTEGER NOT NULL DEFAULT 0",
    # Terms go out of the row and nothing else does: 256 bytes are more than the rest takes.
    "ALTER TABLE passages ALTER COLUMN terms SET STORAGE EXTERNAL",
    "ALTER TABLE passages ALTER COLUMN text_hash SET STORAGE PLAIN",
    "ALTER TABLE passages SET (toast_tuple_target=256)",
    # Without a list of what is still to be put in, which every search would read through.
    "CREATE INDEX passages_terms ON passages USING gin (terms) WITH (fastupdate=off)",
    "ALTER TABLE sources ADD COLUMN words BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE scopes ADD COLUMN words BIGINT NOT NULL DEFAULT 0",
    "CREATE INDEX vectors_last ON vectors (owner_id, model_no, no)",
    "CREATE SEQUENCE changes",
    """CREATE TABLE contents (
    no BIGSERIAL PRIMARY KEY, root TEXT NOT NULL COLLATE "C", owner_id VARCHAR(32) NOT NULL COLLATE "C",
    digest VARCHAR(64) COLLATE "C", size BIGINT NOT NULL DEFAULT 0, touched BIGINT NOT NULL)""",
    "CREATE UNIQUE INDEX contents_place ON contents (root, owner_id, digest) WHERE digest IS NOT NULL",
    "CREATE INDEX contents_incoming ON contents (touched) WHERE digest IS NULL",
    """CREATE TABLE content_pieces (
    content_no BIGINT NOT NULL, piece INTEGER NOT NULL, data BYTEA NOT NULL,
    PRIMARY KEY (content_no, piece))""",
    "ALTER TABLE content_pieces ALTER COLUMN data SET STORAGE EXTERNAL",
)

FUNCTIONS = (
    """CREATE FUNCTION sources_state() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    new.changed := nextval('changes');
    UPDATE scopes SET seq=new.changed,
        total=total+new.passages*((new.state='live')::int-(old.state='live')::int),
        words=words+new.words*((new.state='live')::int-(old.state='live')::int) WHERE no=new.scope_no;
    RETURN new;
    END $$""",
    """CREATE FUNCTION members_removed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE sources SET state='doomed' WHERE ref_id=old.file_id AND state<>'doomed'
        AND scope_no=(SELECT no FROM scopes WHERE scope=old.collection_id);
    RETURN NULL;
    END $$""",
    """CREATE FUNCTION members_described() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE scopes SET seq=nextval('changes') WHERE scope=new.collection_id;
    RETURN NULL;
    END $$""",
    """CREATE FUNCTION passages_counted() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE sign INTEGER := CASE tg_op WHEN 'INSERT' THEN 1 ELSE -1 END;
    BEGIN
    WITH c AS (SELECT source_no,sign*sum(length) AS words FROM passed GROUP BY source_no),
        s AS (UPDATE sources SET words=sources.words+c.words FROM c WHERE no=c.source_no
            RETURNING scope_no,state,c.words AS more)
    UPDATE scopes SET words=words+t.more
        FROM (SELECT scope_no,sum(more) AS more FROM s WHERE state='live' GROUP BY scope_no) t
        WHERE no=t.scope_no;
    RETURN NULL;
    END $$""",
)

TRIGGERS = (
    "CREATE TRIGGER sources_state BEFORE UPDATE OF state ON sources FOR EACH ROW"
    " WHEN (old.state<>new.state) EXECUTE FUNCTION sources_state()",
    "CREATE TRIGGER members_removed AFTER DELETE ON members FOR EACH ROW EXECUTE FUNCTION members_removed()",
    "CREATE TRIGGER members_described AFTER UPDATE OF attributes ON members FOR EACH ROW"
    " WHEN (old.attributes<>new.attributes) EXECUTE FUNCTION members_described()",
    "CREATE TRIGGER passages_added AFTER INSERT ON passages REFERENCING NEW TABLE AS passed"
    " FOR EACH STATEMENT EXECUTE FUNCTION passages_counted()",
    "CREATE TRIGGER passages_erased AFTER DELETE ON passages REFERENCING OLD TABLE AS passed"
    " FOR EACH STATEMENT EXECUTE FUNCTION passages_counted()",
)


def upgrade() -> None:
    """Create everything; SQLite needs nothing of it."""
    if op.get_bind().dialect.name == "postgresql":
        for statement in (*TABLES, *FUNCTIONS, *TRIGGERS):
            op.execute(statement)


def downgrade() -> None:
    """Drop everything."""
    if op.get_bind().dialect.name != "postgresql":
        return
    for function in ("passages_counted", "members_described", "members_removed", "sources_state"):
        op.execute(f"DROP FUNCTION {function} CASCADE")
    op.execute("DROP TABLE content_pieces")
    op.execute("DROP TABLE contents")
    op.execute("DROP SEQUENCE changes")
    op.execute("DROP INDEX vectors_last")
    op.execute("ALTER TABLE scopes DROP COLUMN words")
    op.execute("ALTER TABLE sources DROP COLUMN words")
    op.execute("ALTER TABLE passages DROP COLUMN terms, DROP COLUMN length")
