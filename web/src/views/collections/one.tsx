import { useEffect, useRef, useState, type DragEvent } from "react";
import { Confirm, Dialog, Submit } from "../../frame/dialog";
import { Icon } from "../../frame/icons";
import { Menu, MenuItem } from "../../frame/menu";
import {
  deleteCollection,
  readCollections,
  readMoreEntries,
  removeEntry,
  renameCollection,
  sendFiles,
  stand,
  useCollections,
  watchCollection,
  type Entry,
} from "../../state/collections";
import { tellError } from "../../state/notices";
import { go, link } from "../../state/router";
import { bytes, day, More, Table } from "../parts";
import { AttributesDialog } from "./attributes";
import { Preview } from "./preview";
import { SearchWithin } from "./within";

function CollectionMenu({ id, stands, onDoing }: { id: string; stands: boolean; onDoing: (doing: "rename" | "delete") => void }) {
  return (
    <Menu label="More about this collection" trigger={<Icon name="more" />}>
      {(close) => (
        <>
          <MenuItem onClick={() => (close(), onDoing("rename"))}>
            <Icon name="edit" /> Rename
          </MenuItem>
          <MenuItem checked={stands} onClick={() => (close(), void stand(id, !stands).catch(tellError))}>
            <Icon name={stands ? "check" : "add"} /> In every chat of mine
          </MenuItem>
          <MenuItem danger onClick={() => (close(), onDoing("delete"))}>
            <Icon name="trash" /> Delete
          </MenuItem>
        </>
      )}
    </Menu>
  );
}

/** One collection: its files, what is on its way in, and a search in it. */
export function OneCollection({ id }: { id: string }) {
  const open = useCollections((state) => state.open);
  const stands = useCollections((state) => state.standing.includes(id));
  const [doing, setDoing] = useState<"rename" | "delete" | null>(null);
  useEffect(() => watchCollection(id), [id]);
  useEffect(() => void readCollections().catch(tellError), [id]);
  const name = open?.name || "Untitled";
  return (
    <div className="view">
      <p>
        <a href={link("collections")}>All collections</a>
      </p>
      <header className="view-head">
        <h1>{open ? name : "…"}</h1>
        <CollectionMenu id={id} stands={stands} onDoing={setDoing} />
      </header>
      {stands && <p className="note">Every answer of yours is looked for in here, too.</p>}
      <DropFiles id={id} />
      <Uploads id={id} />
      <Files id={id} />
      <SearchWithin id={id} />
      {doing === "rename" && <Rename id={id} name={open?.name ?? ""} onClose={() => setDoing(null)} />}
      {doing === "delete" && (
        <Confirm
          title="Delete this collection?"
          text={`“${name}” will be gone; its files stay among yours.`}
          action="Delete"
          onClose={() => setDoing(null)}
          onConfirm={() => {
            deleteCollection(id)
              .then(() => go("collections"))
              .catch(tellError);
          }}
        />
      )}
    </div>
  );
}

function Rename({ id, name, onClose }: { id: string; name: string; onClose: () => void }) {
  return (
    <Dialog title="Rename the collection" onClose={onClose}>
      <form
        className="form"
        onSubmit={(event) => {
          event.preventDefault();
          const given = String(new FormData(event.currentTarget).get("name")).trim();
          renameCollection(id, given).then(onClose).catch(tellError);
        }}
      >
        <label>
          Name
          <input name="name" defaultValue={name} required maxLength={256} data-first />
        </label>
        <Submit onClose={onClose}>Rename</Submit>
      </form>
    </Dialog>
  );
}

function DropFiles({ id }: { id: string }) {
  const input = useRef<HTMLInputElement>(null);
  const [over, setOver] = useState(false);
  const onDrop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    sendFiles(id, event.dataTransfer.files);
  };
  return (
    <div
      className={over ? "drop-files over" : "drop-files"}
      onDragOver={(event) => (event.preventDefault(), setOver(true))}
      onDragLeave={() => setOver(false)}
      onDrop={onDrop}
    >
      <input
        ref={input}
        type="file"
        multiple
        hidden
        aria-label="Files"
        onChange={(event) => {
          sendFiles(id, event.target.files ?? []);
          event.target.value = "";
        }}
      />
      <button className="primary" onClick={() => input.current?.click()}>
        Add files
      </button>
      <span className="note">or drop them here: text, Markdown, HTML, PDF, Word, PowerPoint, spreadsheets and more</span>
    </div>
  );
}

function Uploads({ id }: { id: string }) {
  const all = useCollections((state) => state.uploads);
  const uploads = all.filter((one) => one.collection === id);
  if (!uploads.length) return null;
  return (
    <ul className="plain-list" aria-label="On their way">
      {uploads.map((one) => (
        <li key={one.key}>
          <span className="grow">
            {one.name}
            {one.problem ? <span className="problem"> {one.problem}</span> : <progress aria-label={`Sending ${one.name}`} value={one.sent} />}
          </span>
          <button className="icon" aria-label={one.problem ? `Dismiss ${one.name}` : `Stop ${one.name}`} onClick={one.stop}>
            <Icon name="close" />
          </button>
        </li>
      ))}
    </ul>
  );
}

function Files({ id }: { id: string }) {
  const entries = useCollections((state) => state.entries);
  const hasMore = useCollections((state) => state.entriesHaveMore);
  const isRead = useCollections((state) => state.open !== null);
  if (!entries.length) return isRead ? <p className="empty">No files yet.</p> : null;
  return (
    <>
      <Table label="Files" columns={["File", "State", "#Size", "Added", ""]}>
        {entries.map((one) => (
          <FileRow key={one.id} id={id} entry={one} />
        ))}
      </Table>
      {hasMore && <More onClick={() => readMoreEntries(id).catch(tellError)} />}
    </>
  );
}

type FileDoing = "preview" | "attributes" | "delete";

interface OfFile {
  id: string;
  entry: Entry;
  name: string;
  onDoing: (doing: FileDoing) => void;
}

function FileMenu({ id, entry, name, onDoing }: OfFile) {
  return (
    <Menu label={`More about ${name}`} trigger={<Icon name="more" />}>
      {(close) => (
        <>
          {entry.status === "completed" && (
            <MenuItem onClick={() => (close(), onDoing("preview"))}>
              <Icon name="file" /> Show its text
            </MenuItem>
          )}
          <MenuItem onClick={() => (close(), onDoing("attributes"))}>
            <Icon name="edit" /> Attributes
          </MenuItem>
          <MenuItem onClick={() => (close(), void removeEntry(id, entry.id, false).catch(tellError))}>
            <Icon name="minus" /> Take it out
          </MenuItem>
          <MenuItem danger onClick={() => (close(), onDoing("delete"))}>
            <Icon name="trash" /> Delete the file
          </MenuItem>
        </>
      )}
    </Menu>
  );
}

function FileRow({ id, entry }: { id: string; entry: Entry }) {
  const name = useCollections((state) => state.names[entry.id]) ?? entry.id;
  const [doing, setDoing] = useState<FileDoing | null>(null);
  const attributes = Object.entries(entry.attributes);
  return (
    <tr>
      <td className="file-name">
        {entry.status === "completed" ? (
          <button className="as-link" onClick={() => setDoing("preview")}>
            {name}
          </button>
        ) : (
          name
        )}
        {attributes.length > 0 && (
          <span className="note"> {attributes.map(([key, value]) => `${key}: ${value}`).join(", ")}</span>
        )}
        {doing === "preview" && <Preview id={id} entry={entry} name={name} onClose={() => setDoing(null)} />}
        {doing === "attributes" && <AttributesDialog id={id} entry={entry} name={name} onClose={() => setDoing(null)} />}
        {doing === "delete" && (
          <Confirm
            title="Delete this file?"
            text={`“${name}” will be gone from every collection, and citations of it lead nowhere.`}
            action="Delete"
            onClose={() => setDoing(null)}
            onConfirm={() => removeEntry(id, entry.id, true).catch(tellError)}
          />
        )}
      </td>
      <td>
        <State entry={entry} />
      </td>
      <td className="number">{bytes(entry.usage_bytes)}</td>
      <td>{day(entry.created_at)}</td>
      <td className="acts">
        <FileMenu id={id} entry={entry} name={name} onDoing={setDoing} />
      </td>
    </tr>
  );
}

function State({ entry }: { entry: Entry }) {
  const { done, total } = entry.antiphon;
  if (entry.status === "completed") return <span className="badge good">ready</span>;
  if (entry.status === "failed") {
    return (
      <>
        <span className="badge bad">failed</span> <span className="note">{entry.last_error?.message}</span>
      </>
    );
  }
  if (entry.status === "cancelled") return <span className="badge">stopped</span>;
  return (
    <>
      <span className="badge">being read</span>
      {total > 0 && <progress aria-label="How far it is" max={total} value={done} />}
    </>
  );
}
