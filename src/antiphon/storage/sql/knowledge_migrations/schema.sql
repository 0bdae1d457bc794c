CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
CREATE TABLE files (
	id VARCHAR(32) NOT NULL, 
	owner_id VARCHAR(32) NOT NULL, 
	slot SMALLINT NOT NULL, 
	filename TEXT NOT NULL, 
	purpose TEXT NOT NULL, 
	bytes BIGINT NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	version BIGINT NOT NULL, 
	created BIGINT NOT NULL, 
	expires BIGINT, 
	origin TEXT, 
	PRIMARY KEY (id)
)
 WITHOUT ROWID;
CREATE INDEX files_owner ON files (owner_id, id);
CREATE INDEX files_expires ON files (expires) WHERE expires IS NOT NULL;
CREATE TABLE versions (
	file_id VARCHAR(32) NOT NULL, 
	number BIGINT NOT NULL, 
	owner_id VARCHAR(32) NOT NULL, 
	slot SMALLINT NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	bytes BIGINT NOT NULL, 
	created BIGINT NOT NULL, 
	text_state TEXT NOT NULL, 
	error TEXT, 
	parser TEXT, 
	media_type TEXT, 
	language TEXT, 
	title TEXT, 
	characters BIGINT NOT NULL, 
	page_starts BLOB, 
	PRIMARY KEY (file_id, number)
)
 WITHOUT ROWID;
CREATE INDEX versions_digest ON versions (owner_id, digest, bytes);
CREATE TABLE text_slices (
	file_id VARCHAR(32) NOT NULL, 
	number BIGINT NOT NULL, 
	start BIGINT NOT NULL, 
	length BIGINT NOT NULL, 
	text BLOB NOT NULL, 
	PRIMARY KEY (file_id, number, start)
);
CREATE TABLE uploads (
	id VARCHAR(32) NOT NULL, 
	owner_id VARCHAR(32) NOT NULL, 
	slot SMALLINT NOT NULL, 
	filename TEXT NOT NULL, 
	purpose TEXT NOT NULL, 
	bytes BIGINT NOT NULL, 
	media_type TEXT NOT NULL, 
	created BIGINT NOT NULL, 
	expires BIGINT NOT NULL, 
	file_expires_seconds BIGINT, 
	state TEXT NOT NULL, 
	file_id VARCHAR(32), 
	PRIMARY KEY (id)
)
 WITHOUT ROWID;
CREATE INDEX uploads_owner ON uploads (owner_id);
CREATE INDEX uploads_expires ON uploads (expires);
CREATE TABLE upload_parts (
	upload_id VARCHAR(32) NOT NULL, 
	id VARCHAR(32) NOT NULL, 
	owner_id VARCHAR(32) NOT NULL, 
	slot SMALLINT NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	bytes BIGINT NOT NULL, 
	created BIGINT NOT NULL, 
	PRIMARY KEY (upload_id, id)
)
 WITHOUT ROWID;
CREATE INDEX upload_parts_digest ON upload_parts (owner_id, digest, bytes);
CREATE TABLE collections (
	id VARCHAR(32) NOT NULL, 
	owner_id VARCHAR(32) NOT NULL, 
	slot SMALLINT NOT NULL, 
	name TEXT NOT NULL, 
	description TEXT, 
	metadata TEXT NOT NULL, 
	created BIGINT NOT NULL, 
	active BIGINT NOT NULL, 
	expires_after_days BIGINT, 
	expires BIGINT, 
	PRIMARY KEY (id)
)
 WITHOUT ROWID;
CREATE INDEX collections_owner ON collections (owner_id, id);
CREATE INDEX collections_expires ON collections (expires) WHERE expires IS NOT NULL;
CREATE TABLE members (
	collection_id VARCHAR(32) NOT NULL, 
	file_id VARCHAR(32) NOT NULL, 
	id VARCHAR(32) NOT NULL, 
	owner_id VARCHAR(32) NOT NULL, 
	slot SMALLINT NOT NULL, 
	attributes TEXT NOT NULL, 
	max_tokens BIGINT NOT NULL, 
	overlap_tokens BIGINT NOT NULL, 
	automatic BOOLEAN NOT NULL, 
	state TEXT NOT NULL, 
	error_code TEXT, 
	error TEXT, 
	usage_bytes BIGINT NOT NULL, 
	batch_id VARCHAR(32), 
	version BIGINT NOT NULL, 
	source_id VARCHAR(32), 
	duplicate_of VARCHAR(32), 
	created BIGINT NOT NULL, 
	done BIGINT NOT NULL, 
	total BIGINT NOT NULL, 
	attempts BIGINT NOT NULL, 
	not_before BIGINT NOT NULL, 
	PRIMARY KEY (collection_id, file_id)
)
 WITHOUT ROWID;
CREATE INDEX members_order ON members (collection_id, id);
CREATE INDEX members_file ON members (file_id);
CREATE INDEX members_counts ON members (collection_id, state, usage_bytes);
CREATE INDEX members_batch ON members (batch_id, state, usage_bytes) WHERE batch_id IS NOT NULL;
CREATE INDEX members_duplicates ON members (collection_id, duplicate_of) WHERE duplicate_of IS NOT NULL;
CREATE INDEX members_waiting ON members (owner_id, id) WHERE state='in_progress';
CREATE TABLE batches (
	id VARCHAR(32) NOT NULL, 
	collection_id VARCHAR(32) NOT NULL, 
	owner_id VARCHAR(32) NOT NULL, 
	slot SMALLINT NOT NULL, 
	created BIGINT NOT NULL, 
	cancelled BOOLEAN NOT NULL, 
	PRIMARY KEY (id)
)
 WITHOUT ROWID;
CREATE INDEX batches_owner ON batches (owner_id);
CREATE INDEX batches_collection ON batches (collection_id);
CREATE TABLE standing (
	owner_id VARCHAR(32) NOT NULL, 
	target TEXT NOT NULL, 
	place BIGINT NOT NULL, 
	slot SMALLINT NOT NULL, 
	collection_id VARCHAR(32) NOT NULL, 
	PRIMARY KEY (owner_id, target, place)
)
 WITHOUT ROWID;
CREATE INDEX standing_collection ON standing (collection_id);
CREATE TABLE kept_answers (
	owner_id VARCHAR(32) NOT NULL, 
	name TEXT NOT NULL, 
	slot SMALLINT NOT NULL, 
	fingerprint BLOB NOT NULL, 
	body BLOB NOT NULL, 
	expires BIGINT NOT NULL, 
	PRIMARY KEY (owner_id, name)
)
 WITHOUT ROWID;
CREATE INDEX kept_answers_expires ON kept_answers (expires);
CREATE TABLE scopes (
	no INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	scope VARCHAR(33) NOT NULL, 
	owner_id VARCHAR(33) NOT NULL, 
	seq BIGINT DEFAULT '0' NOT NULL, 
	total BIGINT DEFAULT '0' NOT NULL, words BIGINT NOT NULL DEFAULT 0, 
	UNIQUE (scope)
);
CREATE INDEX scopes_owner ON scopes (owner_id);
CREATE TABLE sources (
	no INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	id VARCHAR(33) NOT NULL, 
	kind TEXT NOT NULL, 
	owner_id VARCHAR(33) NOT NULL, 
	slot SMALLINT NOT NULL, 
	scope_no BIGINT NOT NULL, 
	ref_id VARCHAR(33) NOT NULL, 
	version BIGINT NOT NULL, 
	title TEXT NOT NULL, 
	language TEXT, 
	state TEXT NOT NULL, 
	passages BIGINT DEFAULT '0' NOT NULL, 
	changed BIGINT DEFAULT '0' NOT NULL, words BIGINT NOT NULL DEFAULT 0, 
	UNIQUE (id)
);
CREATE INDEX sources_scope ON sources (scope_no, state, language, changed);
CREATE INDEX sources_ref ON sources (ref_id);
CREATE INDEX sources_owner ON sources (owner_id);
CREATE INDEX sources_unseen ON sources (state, no) WHERE state<>'live';
CREATE TABLE passages (
	no INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	source_no BIGINT NOT NULL, 
	ordinal BIGINT NOT NULL, 
	first BIGINT NOT NULL, 
	last BIGINT NOT NULL, 
	page BIGINT, 
	text_hash BLOB NOT NULL, 
	item_id VARCHAR(33) NOT NULL, 
	role TEXT, 
	model TEXT, 
	author_id VARCHAR(33), 
	created BIGINT NOT NULL
);
CREATE UNIQUE INDEX passages_place ON passages (source_no, item_id, ordinal);
CREATE INDEX passages_hash ON passages (text_hash);
CREATE TABLE passage_texts (
	no INTEGER NOT NULL, 
	heading TEXT NOT NULL, 
	text TEXT NOT NULL, 
	place TEXT NOT NULL, 
	title TEXT NOT NULL, 
	body TEXT NOT NULL, 
	PRIMARY KEY (no)
);
CREATE TABLE vector_models (
	no INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	model TEXT, 
	dimensions BIGINT NOT NULL, 
	UNIQUE (model)
);
CREATE TABLE vectors (
	no INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	owner_id VARCHAR(33) NOT NULL, 
	model_no BIGINT NOT NULL, 
	text_hash BLOB NOT NULL, 
	data BLOB NOT NULL
);
CREATE UNIQUE INDEX vectors_text ON vectors (owner_id, text_hash, model_no);
CREATE INDEX vectors_new ON vectors (model_no, owner_id);
CREATE TABLE marks (
	name TEXT NOT NULL, 
	value BLOB NOT NULL, 
	PRIMARY KEY (name)
)
 WITHOUT ROWID;
CREATE TABLE sequence (
	value BIGINT NOT NULL
);
CREATE VIRTUAL TABLE words USING fts5(place, title, body,
    content='passage_texts', content_rowid='no', tokenize="ascii tokenchars '_.+#'");
CREATE TRIGGER members_removed AFTER DELETE ON members BEGIN
    UPDATE sources SET state='doomed' WHERE ref_id=old.file_id AND state<>'doomed'
        AND scope_no=(SELECT no FROM scopes WHERE scope=old.collection_id);
    END;
CREATE TRIGGER members_described AFTER UPDATE OF attributes ON members
    WHEN old.attributes<>new.attributes BEGIN
    UPDATE sequence SET value=value+1;
    UPDATE scopes SET seq=(SELECT value FROM sequence) WHERE scope=new.collection_id;
    END;
CREATE TRIGGER sources_state AFTER UPDATE OF state ON sources WHEN old.state<>new.state BEGIN
    UPDATE sequence SET value=value+1;
    UPDATE sources SET changed=(SELECT value FROM sequence) WHERE no=new.no;
    UPDATE scopes SET seq=(SELECT value FROM sequence),
        total=total+new.passages*((new.state='live')-(old.state='live')),
        words=words+new.words*((new.state='live')-(old.state='live')) WHERE no=new.scope_no;
    END;
INSERT INTO sequence (value) VALUES (0);
INSERT INTO words (words,rank) VALUES ('automerge',0);
