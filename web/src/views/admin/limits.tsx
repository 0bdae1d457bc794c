import { type FormEvent } from "react";
import { call, newKey } from "../../api/client";
import { useList } from "../../state/lists";
import { useModels } from "../../state/models";
import { money, More, number, Problem, Table } from "../parts";
import type { User } from "./users";

const PATH = "/v1/admin/limits";

interface Limit {
  id: string;
  scope: string;
  metric: "requests" | "tokens" | "cost";
  period: string;
  amount: number;
  model: string | null;
  configured: boolean;
}

interface Group {
  id: string;
  name: string;
}

/** How much everybody, a person or a group may use. */
export function Limits() {
  const { list, problem, act, hasMore, more } = useList<Limit>(PATH);
  const users = useList<User>("/v1/admin/users");
  const groups = useList<Group>("/v1/admin/groups");
  const models = useModels((state) => state.list);
  const named = [...(users.list ?? []), ...(groups.list ?? [])];
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = event.currentTarget;
    const given = new FormData(form);
    const body = {
      scope: given.get("scope"),
      metric: given.get("metric"),
      period: given.get("period"),
      amount: Number(given.get("amount")),
      model: given.get("model") || null,
    };
    if (await act(call(PATH, { body, idempotencyKey: newKey() }))) form.reset();
  };
  return (
    <section>
      <form className="limit-form" onSubmit={(event) => void submit(event)}>
        <label>
          For
          <select name="scope">
            <option value="everyone">everybody, each by themselves</option>
            {groups.list?.map((one) => (
              <option key={one.id} value={one.id}>
                group {one.name}
              </option>
            ))}
            {users.list?.map((one) => (
              <option key={one.id} value={one.id}>
                {one.name}
              </option>
            ))}
          </select>
        </label>
        <label>
          At most
          <input name="amount" type="number" min={0} step="any" required />
        </label>
        <label>
          Of
          <select name="metric">
            <option value="requests">requests</option>
            <option value="tokens">tokens</option>
            <option value="cost">money</option>
          </select>
        </label>
        <label>
          In a
          <select name="period" defaultValue="day">
            <option value="minute">minute</option>
            <option value="day">day</option>
            <option value="month">month</option>
          </select>
        </label>
        <label>
          Model
          <select name="model">
            <option value="">any</option>
            {models.map((one) => (
              <option key={one.id} value={one.id}>
                {one.id}
              </option>
            ))}
          </select>
        </label>
        <button className="primary">Set it</button>
      </form>
      <Problem text={problem} />
      {list?.length === 0 && <p className="empty">Nothing is limited.</p>}
      {list && list.length > 0 && (
        <Table label="Limits" columns={["For", "#At most", "Of", "In a", "Model", ""]}>
          {list.map((one) => (
            <tr key={one.id}>
              <td>{one.scope === "everyone" ? "everybody" : (named.find((other) => other.id === one.scope)?.name ?? one.scope)}</td>
              <td className="number">{one.metric === "cost" ? money(one.amount) : number(one.amount)}</td>
              <td>{one.metric === "cost" ? "money" : one.metric}</td>
              <td>{one.period}</td>
              <td>{one.model ?? "any"}</td>
              <td className="acts">
                {one.configured ? (
                  <span className="badge">configured</span>
                ) : (
                  <button
                    className="quiet small"
                    aria-label={`Delete the limit of ${one.metric} a ${one.period}`}
                    onClick={() => void act(call(`${PATH}/${one.id}`, { method: "DELETE" }))}
                  >
                    Delete
                  </button>
                )}
              </td>
            </tr>
          ))}
        </Table>
      )}
      {hasMore && <More onClick={more} />}
    </section>
  );
}
