import { useEffect, useState, type FormEvent } from "react";
import { call, newKey } from "../api/client";
import type { Member, Page, ShareLink } from "../api/types";
import { copyText } from "../markdown/markdown";
import { tell, tellError } from "../state/notices";
import { link } from "../state/router";
import { Dialog } from "./dialog";
import { Icon } from "./icons";
import { Menu, MenuItem } from "./menu";
import "../styles/views.css";

const DAY = 86_400;
const ENDS: [number, string][] = [
  [DAY, "a day"],
  [7 * DAY, "a week"],
  [30 * DAY, "30 days"],
  [365 * DAY, "a year"],
];
const MOST = 100;

/** Who else may see a conversation: members, who have accounts, and holders of a link. */
export default function Share({ id, title, onClose }: { id: string; title: string; onClose: () => void }) {
  return (
    <Dialog title={`Share “${title}”`} onClose={onClose}>
      <Members id={id} />
      <Links id={id} />
    </Dialog>
  );
}

function useList<T>(path: string): [T[], () => void] {
  const [list, setList] = useState<T[]>([]);
  const read = (signal?: AbortSignal) => {
    call<Page<T>>(path, { query: { limit: MOST }, signal })
      .then((page) => setList(page.data))
      .catch((error: unknown) => signal?.aborted || tellError(error));
  };
  useEffect(() => {
    const ending = new AbortController();
    read(ending.signal);
    return () => ending.abort(); // what a dialog was still waiting for is nobody's matter once it is closed
  }, [path]);
  return [list, () => read()];
}

function Members({ id }: { id: string }) {
  const path = `/v1/conversations/${id}/members`;
  const [members, read] = useList<Member>(path);
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = event.currentTarget;
    const given = new FormData(form);
    call(path, { body: { user: given.get("user"), role: given.get("role") }, idempotencyKey: newKey() })
      .then(() => {
        form.reset();
        read();
      })
      .catch(tellError);
  };
  const act = (done: Promise<unknown>) => done.then(read).catch(tellError);
  return (
    <section className="share-part">
      <h3>People with an account here</h3>
      <form className="row inline-form" onSubmit={submit}>
        <input name="user" aria-label="Name of the person" placeholder="Name" required maxLength={64} autoComplete="off" />
        <select name="role" aria-label="What they may do" defaultValue="editor">
          <option value="editor">may write</option>
          <option value="viewer">may read</option>
        </select>
        <button className="primary">Let in</button>
      </form>
      <ul className="plain-list">
        {members.map((one) => (
          <li key={one.id}>
            <span className="grow">{one.name}</span>
            <span className="note">{one.role}</span>
            {one.role !== "owner" && (
              <Menu label={`More about ${one.name}`} trigger={<Icon name="more" />}>
                {(close) => (
                  <>
                    <MenuItem
                      onClick={() => {
                        close();
                        const role = one.role === "viewer" ? "editor" : "viewer";
                        void act(call(`${path}/${one.id}`, { method: "PATCH", body: { role } }));
                      }}
                    >
                      {one.role === "viewer" ? "Let them write, too" : "Let them only read"}
                    </MenuItem>
                    <MenuItem danger onClick={() => (close(), void act(call(`${path}/${one.id}`, { method: "DELETE" })))}>
                      Remove
                    </MenuItem>
                  </>
                )}
              </Menu>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}

function Links({ id }: { id: string }) {
  const path = `/v1/conversations/${id}/shares`;
  const [links, read] = useList<ShareLink>(path);
  const [made, setMade] = useState<string | null>(null);
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const expires_in = Number(new FormData(event.currentTarget).get("ends"));
    call<ShareLink>(path, { body: { expires_in }, idempotencyKey: newKey() })
      .then(({ token }) => {
        setMade(`${location.origin}/${link("shared", token!)}`);
        read();
      })
      .catch(tellError);
  };
  const revoke = (share: ShareLink) =>
    call(`${path}/${share.id}`, { method: "DELETE" })
      .then(() => {
        tell("The link leads nowhere any more.");
        setMade(null);
        read();
      })
      .catch(tellError);
  return (
    <section className="share-part">
      <h3>Whoever has a link</h3>
      <p className="note">It shows the active branch as it grows, to read only, and needs no account.</p>
      <form className="row inline-form" onSubmit={submit}>
        <select name="ends" aria-label="How long the link holds" defaultValue={30 * DAY}>
          {ENDS.map(([seconds, text]) => (
            <option key={seconds} value={seconds}>
              for {text}
            </option>
          ))}
        </select>
        <button className="primary">Make a link</button>
      </form>
      {made && <MadeLink address={made} />}
      <ul className="plain-list">
        {links.map((one) => (
          <li key={one.id}>
            <span className="grow">
              A link of {new Date(one.created_at * 1000).toLocaleDateString()}, until{" "}
              {new Date(one.expires_at * 1000).toLocaleDateString()}
            </span>
            <button className="quiet small" onClick={() => void revoke(one)}>
              Revoke
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}

function MadeLink({ address }: { address: string }) {
  return (
    <>
      <div className="secret">
        <code>{address}</code>
        <button
          className="quiet"
          onClick={() => void copyText(address).then((done) => tell(done ? "Copied." : "It could not be copied."))}
        >
          Copy
        </button>
      </div>
      <p className="note">It is shown this once.</p>
    </>
  );
}
