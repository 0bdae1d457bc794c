CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
CREATE TABLE accounts (
	id VARCHAR(32) NOT NULL, 
	slot SMALLINT NOT NULL, 
	name TEXT NOT NULL, 
	role TEXT NOT NULL, 
	created BIGINT NOT NULL, email TEXT, password_hash TEXT, state TEXT DEFAULT 'active' NOT NULL, group_id VARCHAR(32), epoch BIGINT DEFAULT '0' NOT NULL, retention_days BIGINT, updated BIGINT DEFAULT '0' NOT NULL, deleted BIGINT, 
	PRIMARY KEY (id)
);
CREATE UNIQUE INDEX accounts_name ON accounts (name);
CREATE TABLE conversations (
	id VARCHAR(32) NOT NULL, 
	owner_id VARCHAR(32) NOT NULL, 
	slot SMALLINT NOT NULL, 
	kind TEXT NOT NULL, 
	external_key TEXT, 
	title TEXT, 
	metadata TEXT NOT NULL, 
	active_branch_id VARCHAR(32) NOT NULL, 
	base_segment_id VARCHAR(32), 
	base_depth BIGINT, 
	base_tokens BIGINT, 
	base_item_id VARCHAR(32), 
	revision BIGINT DEFAULT '1' NOT NULL, 
	created BIGINT NOT NULL, 
	updated BIGINT NOT NULL, 
	expires BIGINT, 
	deleted BIGINT, state TEXT, pinned BIGINT, archived BIGINT, folder TEXT, 
	PRIMARY KEY (id)
)
 WITHOUT ROWID;
CREATE INDEX conversations_owner ON conversations (owner_id, id);
CREATE UNIQUE INDEX conversations_external ON conversations (owner_id, external_key) WHERE external_key IS NOT NULL;
CREATE TABLE branches (
	conversation_id VARCHAR(32) NOT NULL, 
	id VARCHAR(32) NOT NULL, 
	owner_id VARCHAR(32) NOT NULL, 
	slot SMALLINT NOT NULL, 
	name TEXT NOT NULL, 
	head_segment_id VARCHAR(32) NOT NULL, 
	head_depth BIGINT NOT NULL, 
	head_tokens BIGINT NOT NULL, 
	head_item_id VARCHAR(32), 
	run_id VARCHAR(32), 
	alias_of VARCHAR(32), 
	created BIGINT NOT NULL, 
	PRIMARY KEY (conversation_id, id)
)
 WITHOUT ROWID;
CREATE UNIQUE INDEX branches_name ON branches (conversation_id, name);
CREATE TABLE segments (
	id VARCHAR(32) NOT NULL, 
	owner_id VARCHAR(32) NOT NULL, 
	slot SMALLINT NOT NULL, 
	conversation_id VARCHAR(32) NOT NULL, 
	parent_id VARCHAR(32), 
	fork_depth BIGINT DEFAULT '-1' NOT NULL, 
	fork_tokens BIGINT DEFAULT '0' NOT NULL, 
	level BIGINT DEFAULT '0' NOT NULL, 
	PRIMARY KEY (id)
)
 WITHOUT ROWID;
CREATE INDEX segments_conversation ON segments (conversation_id, id);
CREATE INDEX segments_parent ON segments (parent_id) WHERE parent_id IS NOT NULL;
CREATE TABLE items (
	segment_id VARCHAR(32) NOT NULL, 
	depth BIGINT NOT NULL, 
	id VARCHAR(32) NOT NULL, 
	owner_id VARCHAR(32) NOT NULL, 
	slot SMALLINT NOT NULL, 
	path_tokens BIGINT NOT NULL, 
	path_hash BLOB, 
	token_count BIGINT NOT NULL, 
	type TEXT NOT NULL, 
	role TEXT, 
	status TEXT NOT NULL, 
	author_id VARCHAR(32), 
	run_id VARCHAR(32), 
	payload TEXT NOT NULL, 
	created BIGINT NOT NULL, 
	PRIMARY KEY (segment_id, depth)
)
 WITHOUT ROWID;
CREATE UNIQUE INDEX items_id ON items (id);
CREATE UNIQUE INDEX items_tokens ON items (segment_id, path_tokens);
CREATE INDEX items_path_hash ON items (owner_id, path_hash) WHERE path_hash IS NOT NULL;
CREATE TABLE hidden_items (
	conversation_id VARCHAR(32) NOT NULL, 
	item_id VARCHAR(32) NOT NULL, 
	owner_id VARCHAR(32) NOT NULL, 
	slot SMALLINT NOT NULL, 
	PRIMARY KEY (conversation_id, item_id)
)
 WITHOUT ROWID;
CREATE TABLE conversation_changes (
	conversation_id VARCHAR(32) NOT NULL, 
	revision BIGINT NOT NULL, 
	owner_id VARCHAR(32) NOT NULL, 
	slot SMALLINT NOT NULL, 
	kind TEXT NOT NULL, 
	body TEXT NOT NULL, 
	created BIGINT NOT NULL, 
	PRIMARY KEY (conversation_id, revision)
)
 WITHOUT ROWID;
CREATE TABLE runs (
	id VARCHAR(32) NOT NULL, 
	owner_id VARCHAR(32) NOT NULL, 
	slot SMALLINT NOT NULL, 
	conversation_id VARCHAR(32), 
	branch_id VARCHAR(32), 
	author_id VARCHAR(32) NOT NULL, 
	credential_id VARCHAR(32), 
	surface TEXT NOT NULL, 
	parent_segment_id VARCHAR(32), 
	parent_depth BIGINT, 
	parent_tokens BIGINT, 
	parent_item_id VARCHAR(32), 
	input_segment_id VARCHAR(32), 
	input_depth BIGINT, 
	input_tokens BIGINT, 
	input_item_id VARCHAR(32), 
	output_segment_id VARCHAR(32), 
	output_depth BIGINT, 
	output_tokens BIGINT, 
	output_item_id VARCHAR(32), 
	state TEXT NOT NULL, 
	background BIGINT NOT NULL, 
	worker_id VARCHAR(32), 
	epoch BIGINT DEFAULT '0' NOT NULL, 
	attempt BIGINT DEFAULT '1' NOT NULL, 
	cancel_requested BIGINT DEFAULT '0' NOT NULL, 
	request TEXT NOT NULL, 
	model TEXT NOT NULL, 
	provider TEXT, 
	wire_version BIGINT NOT NULL, 
	error TEXT, 
	incomplete_reason TEXT, 
	usage TEXT, 
	metadata TEXT NOT NULL, 
	log BLOB, 
	is_script BIGINT DEFAULT '0' NOT NULL, 
	created BIGINT NOT NULL, 
	ended BIGINT, 
	deleted BIGINT, rating SMALLINT, 
	PRIMARY KEY (id)
)
 WITHOUT ROWID;
CREATE INDEX runs_alive ON runs (worker_id) WHERE state IN ('queued','in_progress');
CREATE INDEX runs_conversation ON runs (conversation_id, id);
CREATE INDEX runs_chat ON runs (owner_id, id) WHERE surface='chat';
CREATE TABLE journal (
	worker_id VARCHAR(32) NOT NULL, 
	tick BIGINT NOT NULL, 
	ops BLOB NOT NULL, 
	PRIMARY KEY (worker_id, tick)
)
 WITHOUT ROWID;
CREATE TABLE run_chunks (
	run_id VARCHAR(32) NOT NULL, 
	first_seq BIGINT NOT NULL, 
	last_seq BIGINT NOT NULL, 
	ops BLOB NOT NULL, 
	PRIMARY KEY (run_id, first_seq)
)
 WITHOUT ROWID;
CREATE TABLE idempotency (
	owner_id VARCHAR(32) NOT NULL, 
	"key" TEXT NOT NULL, 
	slot SMALLINT NOT NULL, 
	fingerprint BLOB NOT NULL, 
	run_id VARCHAR(32), 
	status BIGINT, 
	body BLOB, 
	created BIGINT NOT NULL, 
	expires BIGINT NOT NULL, conversation_id VARCHAR(32), 
	PRIMARY KEY (owner_id, "key")
)
 WITHOUT ROWID;
CREATE INDEX idempotency_expires ON idempotency (expires);
CREATE TABLE ledger (
	owner_id VARCHAR(32) NOT NULL, 
	run_id VARCHAR(32) NOT NULL, 
	slot SMALLINT NOT NULL, 
	author_id VARCHAR(32) NOT NULL, 
	credential_id VARCHAR(32), 
	provider TEXT, 
	model TEXT NOT NULL, 
	state TEXT NOT NULL, 
	tokens_in BIGINT NOT NULL, 
	tokens_out BIGINT NOT NULL, 
	tokens_cached BIGINT NOT NULL, 
	tokens_reasoning BIGINT NOT NULL, 
	estimated BIGINT NOT NULL, 
	cost BIGINT NOT NULL, 
	created BIGINT NOT NULL, 
	latency BIGINT NOT NULL, cached BIGINT DEFAULT '0' NOT NULL, 
	PRIMARY KEY (owner_id, run_id)
)
 WITHOUT ROWID;
CREATE TABLE groups (
	id VARCHAR(32) NOT NULL, 
	name TEXT NOT NULL, 
	retention_days BIGINT, 
	created BIGINT NOT NULL, 
	PRIMARY KEY (id)
)
 WITHOUT ROWID;
CREATE UNIQUE INDEX groups_name ON groups (name);
CREATE UNIQUE INDEX accounts_email ON accounts (email) WHERE email IS NOT NULL;
CREATE INDEX accounts_group_id ON accounts (group_id) WHERE group_id IS NOT NULL;
CREATE INDEX accounts_deleted ON accounts (deleted) WHERE deleted IS NOT NULL;
CREATE TABLE login_sessions (
	id VARCHAR(32) NOT NULL, 
	owner_id VARCHAR(32) NOT NULL, 
	slot SMALLINT NOT NULL, 
	method TEXT NOT NULL, 
	generation BIGINT DEFAULT '0' NOT NULL, 
	user_agent TEXT NOT NULL, 
	address TEXT NOT NULL, 
	created BIGINT NOT NULL, 
	used BIGINT NOT NULL, 
	expires BIGINT NOT NULL, 
	revoked BIGINT, 
	PRIMARY KEY (id)
)
 WITHOUT ROWID;
CREATE INDEX login_sessions_owner ON login_sessions (owner_id, id);
CREATE TABLE api_keys (
	id VARCHAR(32) NOT NULL, 
	owner_id VARCHAR(32) NOT NULL, 
	slot SMALLINT NOT NULL, 
	name TEXT NOT NULL, 
	digest BLOB NOT NULL, 
	prefix TEXT NOT NULL, 
	scopes TEXT NOT NULL, 
	created BIGINT NOT NULL, 
	expires BIGINT, 
	used BIGINT, 
	revoked BIGINT, 
	PRIMARY KEY (id)
)
 WITHOUT ROWID;
CREATE UNIQUE INDEX api_keys_digest ON api_keys (digest);
CREATE INDEX api_keys_owner ON api_keys (owner_id, id);
CREATE TABLE external_identities (
	issuer TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	owner_id VARCHAR(32) NOT NULL, 
	slot SMALLINT NOT NULL, 
	provider TEXT NOT NULL, 
	email TEXT, 
	created BIGINT NOT NULL, 
	PRIMARY KEY (issuer, subject)
)
 WITHOUT ROWID;
CREATE INDEX external_identities_owner ON external_identities (owner_id);
CREATE TABLE invites (
	id VARCHAR(32) NOT NULL, 
	digest BLOB NOT NULL, 
	created_by VARCHAR(32) NOT NULL, 
	role TEXT NOT NULL, 
	group_id VARCHAR(32), 
	created BIGINT NOT NULL, 
	expires BIGINT NOT NULL, 
	used_by VARCHAR(32), 
	revoked BIGINT, 
	PRIMARY KEY (id)
)
 WITHOUT ROWID;
CREATE UNIQUE INDEX invites_digest ON invites (digest);
CREATE TABLE conversation_members (
	conversation_id VARCHAR(32) NOT NULL, 
	account_id VARCHAR(32) NOT NULL, 
	owner_id VARCHAR(32) NOT NULL, 
	slot SMALLINT NOT NULL, 
	role TEXT NOT NULL, 
	created BIGINT NOT NULL, 
	PRIMARY KEY (conversation_id, account_id)
)
 WITHOUT ROWID;
CREATE INDEX conversation_members_account ON conversation_members (account_id, conversation_id);
CREATE TABLE share_links (
	id VARCHAR(32) NOT NULL, 
	owner_id VARCHAR(32) NOT NULL, 
	slot SMALLINT NOT NULL, 
	digest BLOB NOT NULL, 
	conversation_id VARCHAR(32) NOT NULL, 
	branch_id VARCHAR(32), 
	created BIGINT NOT NULL, 
	expires BIGINT, 
	revoked BIGINT, 
	PRIMARY KEY (id)
)
 WITHOUT ROWID;
CREATE UNIQUE INDEX share_links_digest ON share_links (digest);
CREATE INDEX share_links_conversation ON share_links (conversation_id, id);
CREATE TABLE limits (
	id VARCHAR(32) NOT NULL, 
	scope TEXT NOT NULL, 
	model TEXT DEFAULT '' NOT NULL, 
	metric TEXT NOT NULL, 
	period TEXT NOT NULL, 
	amount BIGINT NOT NULL, 
	created BIGINT NOT NULL, 
	PRIMARY KEY (id)
)
 WITHOUT ROWID;
CREATE UNIQUE INDEX limits_scope ON limits (scope, model, metric, period);
CREATE TABLE quota_counters (
	counter TEXT NOT NULL, 
	window_start BIGINT NOT NULL, 
	used BIGINT DEFAULT '0' NOT NULL, 
	reserved BIGINT DEFAULT '0' NOT NULL, 
	PRIMARY KEY (counter, window_start)
)
 WITHOUT ROWID;
CREATE TABLE quota_reservations (
	run_id VARCHAR(32) NOT NULL, 
	counter TEXT NOT NULL, 
	window_start BIGINT NOT NULL, 
	metric TEXT NOT NULL, 
	model TEXT NOT NULL, 
	amount BIGINT NOT NULL, 
	created BIGINT NOT NULL, 
	PRIMARY KEY (run_id, counter)
)
 WITHOUT ROWID;
CREATE INDEX ledger_author ON ledger (author_id, created);
CREATE TABLE audit (
	id VARCHAR(32) NOT NULL, 
	created BIGINT NOT NULL, 
	actor_id VARCHAR(32), 
	credential_id VARCHAR(32), 
	action TEXT NOT NULL, 
	target TEXT, 
	detail TEXT NOT NULL, 
	address TEXT, 
	PRIMARY KEY (id)
)
 WITHOUT ROWID;
CREATE INDEX audit_actor ON audit (actor_id, id);
CREATE INDEX audit_target ON audit (target, id);
CREATE TABLE secrets (
	name TEXT NOT NULL, 
	ciphertext BLOB NOT NULL, 
	updated BIGINT NOT NULL, 
	PRIMARY KEY (name)
)
 WITHOUT ROWID;
CREATE TABLE runtime_settings (
	name TEXT NOT NULL, 
	value TEXT NOT NULL, 
	updated BIGINT NOT NULL, 
	PRIMARY KEY (name)
)
 WITHOUT ROWID;
CREATE INDEX conversations_base ON conversations (base_segment_id) WHERE base_segment_id IS NOT NULL;
CREATE INDEX conversations_expires ON conversations (expires) WHERE expires IS NOT NULL;
CREATE INDEX conversations_deleted ON conversations (deleted) WHERE deleted IS NOT NULL AND state IS NULL;
CREATE INDEX conversations_purging ON conversations (id) WHERE state='purging';
CREATE TABLE blobs (
	owner_id VARCHAR(32) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	slot SMALLINT NOT NULL, 
	size BIGINT NOT NULL, 
	state TEXT NOT NULL, 
	changed BIGINT NOT NULL, 
	PRIMARY KEY (owner_id, digest)
)
 WITHOUT ROWID;
CREATE INDEX blobs_unheld ON blobs (state, changed) WHERE state<>'held';
CREATE TABLE blob_refs (
	segment_id VARCHAR(32) NOT NULL, 
	depth BIGINT NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	owner_id VARCHAR(32) NOT NULL, 
	slot SMALLINT NOT NULL, 
	item_id VARCHAR(32) NOT NULL, 
	PRIMARY KEY (segment_id, depth, digest)
)
 WITHOUT ROWID;
CREATE INDEX blob_refs_digest ON blob_refs (owner_id, digest);
CREATE TABLE sweeps (
	conversation_id VARCHAR(32) NOT NULL, 
	owner_id VARCHAR(32) NOT NULL, 
	slot SMALLINT NOT NULL, 
	due BIGINT NOT NULL, 
	PRIMARY KEY (conversation_id)
)
 WITHOUT ROWID;
CREATE INDEX sweeps_due ON sweeps (due);
CREATE INDEX idempotency_conversation ON idempotency (conversation_id) WHERE conversation_id IS NOT NULL;
CREATE TABLE workers (
	id VARCHAR(32) NOT NULL, 
	expires BIGINT NOT NULL, 
	fenced BIGINT, 
	PRIMARY KEY (id)
)
 WITHOUT ROWID;
CREATE TABLE aliases (
	owner_id VARCHAR(32) NOT NULL, 
	alias TEXT NOT NULL, 
	slot SMALLINT NOT NULL, 
	target_id VARCHAR(32) NOT NULL, 
	PRIMARY KEY (owner_id, alias)
)
 WITHOUT ROWID;
CREATE INDEX aliases_target ON aliases (target_id);
CREATE INDEX branches_alias ON branches (alias_of) WHERE alias_of IS NOT NULL;
CREATE INDEX conversations_pinned ON conversations (owner_id) WHERE pinned IS NOT NULL;
CREATE INDEX conversations_archived ON conversations (owner_id) WHERE archived IS NOT NULL;
CREATE TABLE preferences (
	account_id VARCHAR(32) NOT NULL, 
	content BLOB NOT NULL, 
	updated BIGINT NOT NULL, 
	PRIMARY KEY (account_id)
)
 WITHOUT ROWID;
CREATE INDEX runs_rated ON runs (created) WHERE rating IS NOT NULL;
CREATE INDEX conversations_folder ON conversations (owner_id, folder) WHERE folder IS NOT NULL;
