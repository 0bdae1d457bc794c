import { useState } from "react";
import { call } from "../../api/client";
import { Confirm } from "../../frame/dialog";
import { useList } from "../../state/lists";
import { Download } from "../download";
import { bytes, moment, Problem, Rows } from "../parts";

interface Kept {
  id: string;
  filename: string;
  bytes: number;
  created_at: number;
}

/** Everything one has uploaded, wherever it is used: to be had again, and to be erased. */
export function Files() {
  const listed = useList<Kept>("/v1/files");
  const { problem, act } = listed;
  const [leaving, setLeaving] = useState<Kept | null>(null);
  return (
    <section>
      <p className="note">What you attached to chats and put into collections. To have answers from files, put them into a collection.</p>
      <Problem text={problem} />
      <Rows listed={listed} label="Files" columns={["File", "#Size", "Added", ""]} none="No files yet.">
        {(one) => (
          <tr>
            <td className="file-name">{one.filename}</td>
            <td className="number">{bytes(one.bytes)}</td>
            <td>{moment(one.created_at)}</td>
            <td className="acts">
              <Download path={`/v1/files/${one.id}/content`} name={one.filename} small label={`Download ${one.filename}`}>
                Download
              </Download>
              <button className="quiet small" aria-label={`Delete ${one.filename}`} onClick={() => setLeaving(one)}>
                Delete
              </button>
            </td>
          </tr>
        )}
      </Rows>
      {leaving && (
        <Confirm
          title="Delete this file?"
          text={`“${leaving.filename}” will be gone for good, also from the chats and collections it is in.`}
          action="Delete"
          onClose={() => setLeaving(null)}
          onConfirm={() => void act(call(`/v1/files/${leaving.id}`, { method: "DELETE" }))}
        />
      )}
    </section>
  );
}
