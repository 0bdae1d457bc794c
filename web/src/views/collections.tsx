import { useEffect, type FormEvent } from "react";
import { createCollection, readCollections, useCollections, type Collection } from "../state/collections";
import { useConversations } from "../state/conversations";
import { tellError } from "../state/notices";
import { go, link } from "../state/router";
import { OneCollection } from "./collections/one";
import { bytes, day, More, Table } from "./parts";
import type { ViewProps } from "./registry";
import "../styles/collections.css";

/** What one's answers are looked for in: collections of files. */
export default function Collections({ rest }: ViewProps) {
  const [id] = rest;
  return id ? <OneCollection key={id} id={id} /> : <All />;
}

function All() {
  const list = useCollections((state) => state.list);
  const isRead = useCollections((state) => state.isRead);
  const hasMore = useCollections((state) => state.hasMore);
  const chats = useConversations((state) => state.list);
  const titles = new Map(chats.map((one) => [one.id, one.title]));
  const made = list.filter((one) => !one.metadata.conversation);
  const attached = list.filter((one) => one.metadata.conversation);
  useEffect(() => void readCollections().catch(tellError), []);
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const name = String(new FormData(event.currentTarget).get("name")).trim();
    if (!name) return;
    createCollection(name)
      .then((made) => go("collections", made.id))
      .catch(tellError);
  };
  return (
    <div className="view">
      <h1>Collections</h1>
      <p className="note">Put files into a collection, and have a chat, or all of yours, answered from them with citations.</p>
      <form className="row inline-form new-collection" onSubmit={submit}>
        <input name="name" aria-label="Name of the new collection" placeholder="A new collection" required maxLength={256} autoComplete="off" />
        <button className="primary">Make it</button>
      </form>
      {isRead && !made.length && <p className="empty">There are none yet.</p>}
      {made.length > 0 && <List label="Collections" of={made} name={(one) => one.name || "Untitled"} />}
      {attached.length > 0 && (
        <>
          <h2>From chats</h2>
          <p className="note">What was attached in a chat. That chat alone is answered from it.</p>
          <List label="From chats" of={attached} name={(one) => titles.get(one.metadata.conversation!) || "A chat"} />
        </>
      )}
      {hasMore && <More onClick={() => readCollections(true).catch(tellError)} />}
    </div>
  );
}

function List({ label, of, name }: { label: string; of: Collection[]; name: (one: Collection) => string }) {
  const standing = useCollections((state) => state.standing);
  return (
    <Table label={label} columns={["Name", "#Files", "#Size", "Last used", ""]}>
      {of.map((one) => (
        <tr key={one.id}>
          <td>
            <a href={link("collections", one.id)}>{name(one)}</a>
          </td>
          <td className="number">{one.file_counts.total}</td>
          <td className="number">{bytes(one.usage_bytes)}</td>
          <td>{day(one.last_active_at)}</td>
          <td className="acts">
            {one.status === "in_progress" && <span className="badge">being read</span>}
            {standing.includes(one.id) && <span className="badge good">in every chat</span>}
          </td>
        </tr>
      ))}
    </Table>
  );
}
