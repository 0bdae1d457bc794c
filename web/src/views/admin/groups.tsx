import { type FormEvent } from "react";
import { call } from "../../api/client";
import { useList } from "../../state/lists";
import { number, Problem, Rows } from "../parts";

interface Group {
  id: string;
  name: string;
  retention_days: number | null;
  user_count: number;
}

/** Groups, whose members share limits. */
export function Groups() {
  const listed = useList<Group>("/v1/admin/groups");
  const { problem, act } = listed;
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = event.currentTarget;
    const name = new FormData(form).get("name");
    if (await act(call("/v1/admin/groups", { body: { name } }))) form.reset();
  };
  return (
    <section>
      <form className="row inline-form" onSubmit={(event) => void submit(event)}>
        <input name="name" aria-label="Name of the group" placeholder="A new group" required maxLength={64} autoComplete="off" />
        <button className="primary">Make it</button>
      </form>
      <Problem text={problem} />
      <Rows listed={listed} label="Groups" columns={["Name", "#Accounts", "#Days kept", ""]} none="No groups yet.">
        {(one) => (
          <tr>
            <td>{one.name}</td>
            <td className="number">{number(one.user_count)}</td>
            <td className="number">{one.retention_days ?? "–"}</td>
            <td className="acts">
              <button className="quiet small" aria-label={`Delete ${one.name}`} onClick={() => void act(call(`/v1/admin/groups/${one.id}`, { method: "DELETE" }))}>
                Delete
              </button>
            </td>
          </tr>
        )}
      </Rows>
    </section>
  );
}
