/** What the server says, as far as the page uses it. Times are seconds since 1970. */

export interface Page<T> {
  object: "list";
  data: T[];
  first_id: string | null;
  last_id: string | null;
  has_more: boolean;
  next_cursor?: string | null;
}

export interface Me {
  id: string;
  name: string;
  role: string;
  email?: string | null;
  created_at?: number;
  scopes?: string[];
}

export interface Model {
  id: string;
  owned_by: string;
  antiphon?: { context_tokens: number; price: Price; default: boolean } | null;
}

/** In units of money for a million tokens. */
export interface Price {
  input: number;
  output: number;
}

export interface Conversation {
  id: string;
  title: string | null;
  metadata: Record<string, string>;
  created_at: number;
  updated_at: number;
  active_branch_id: string;
  revision: number;
  kind: string;
  pinned?: boolean;
  archived?: boolean;
  folder?: string | null;
  expires_at: number | null;
  forked_from_item_id: string | null;
  antiphon?: { owner: string; role: "viewer" | "editor" | "owner" };
}

export interface Branch {
  id: string;
  name: string;
  head_item_id: string | null;
  head_segment_id: string;
  item_count: number;
  token_count: number;
  active: boolean;
  running_response_id: string | null;
  created_at: number;
  alias_of?: string;
}

export interface Segment {
  id: string;
  parent_segment_id: string | null;
  fork_depth: number;
  item_count: number;
  first_item: ItemPreview | null;
  last_item: ItemPreview | null;
}

export interface ItemPreview {
  id: string;
  type: string;
  role: string | null;
  preview: string;
}

export interface Member {
  id: string;
  name: string;
  role: "viewer" | "editor" | "owner";
  created_at: number;
}

export interface ShareLink {
  id: string;
  branch_id: string | null;
  created_at: number;
  expires_at: number;
  /** Only in the answer that made it. */
  token: string | null;
}

/** What a conversation's feed tells; `data` by the type, see docs/live.md. */
export interface FeedEvent {
  type: string;
  revision?: number;
  data?: {
    response_id?: string;
    branch_id?: string;
    activated?: boolean;
    title?: string;
    rating?: Rating | null;
    items?: { antiphon?: { author_id: string | null } }[];
  };
  present?: Someone[];
  typing?: Someone[];
}

export interface Someone {
  user_id: string;
  name: string;
}

/** A stretch of a file's text; `quote` is what stands there, where that is known. */
export interface Excerpt {
  file_id: string;
  filename: string;
  antiphon?: {
    version: number;
    start: number;
    end: number;
    quote?: string;
    page?: number | null;
    heading?: string | null;
    collection_id?: string | null;
  };
}

export interface Citation extends Excerpt {
  type: "file_citation";
  index: number;
}

export interface Part {
  type: string;
  text?: string;
  refusal?: string;
  annotations?: Citation[];
  image_url?: string;
  file_id?: string;
  filename?: string;
  file_data?: string;
  antiphon?: { file_id: string; filename: string; bytes?: number };
}

export interface SearchResult extends Excerpt {
  score: number;
  text: string;
}

export interface Item {
  id: string;
  type: string;
  status?: string;
  role?: "user" | "assistant" | "system" | "developer";
  content?: Part[];
  summary?: { type: string; text: string }[];
  name?: string;
  call_id?: string;
  arguments?: string;
  output?: string | Part[];
  queries?: string[];
  results?: SearchResult[] | null;
  antiphon?: Place;
}

export interface Place {
  segment_id: string;
  depth: number;
  author_id: string | null;
  created_at: number;
  response: Answered | null;
}

export interface Answered {
  id: string;
  model: string;
  status: RunState;
  error: { code: string; message: string } | null;
  usage: Usage | null;
  continues?: boolean;
  rating?: Rating;
}

export type Rating = "good" | "bad";

export type RunState = "queued" | "in_progress" | "completed" | "incomplete" | "failed" | "cancelled";

export interface Usage {
  input_tokens: number;
  output_tokens: number;
  input_tokens_details?: { cached_tokens: number };
  output_tokens_details?: { reasoning_tokens: number };
}

export interface Response {
  id: string;
  created_at: number;
  status: RunState;
  error: { code: string; message: string } | null;
  incomplete_details: { reason: string } | null;
  model: string;
  output: Item[];
  usage: Usage | null;
  antiphon: {
    conversation_id: string;
    branch_id: string | null;
    parent_id: string | null;
    input_item_ids: string[];
    continues?: boolean;
  } | null;
}

/** One event of a response's stream; `response_id` is there where several are streamed together. */
export interface RunEvent {
  type: string;
  sequence_number: number;
  response_id?: string;
  response?: Response;
  output_index?: number;
  content_index?: number;
  summary_index?: number;
  item?: Item;
  part?: Part;
  delta?: string;
  text?: string;
  refusal?: string;
  arguments?: string;
  annotation?: Citation;
  annotation_index?: number;
}
