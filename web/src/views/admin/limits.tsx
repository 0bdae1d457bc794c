import { type FormEvent } from "react";
import { call, newKey } from "../../api/client";
import { useAll, useList } from "../../state/lists";
import { money, useModels } from "../../state/models";
import { number, Problem, Rows } from "../parts";
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

type Act = (done: Promise<unknown>) => Promise<boolean>;

/** How much everybody, a person or a group may use. */
export function Limits() {
  const listed = useList<Limit>(PATH);
  const { problem, act } = listed;
  const users = useAll<User>("/v1/admin/users");
  const groups = useAll<Group>("/v1/admin/groups");
  const named = [...users, ...groups];
  return (
    <section>
      <NewLimit users={users} groups={groups} act={act} />
      <Problem text={problem} />
      <Rows listed={listed} label="Limits" columns={["For", "#At most", "Of", "In a", "Model", ""]} none="Nothing is limited.">
        {(one) => (
          <LimitRow limit={one} name={named.find((other) => other.id === one.scope)?.name} act={act} />
        )}
      </Rows>
    </section>
  );
}

function NewLimit({ users, groups, act }: { users: User[]; groups: Group[]; act: Act }) {
  const models = useModels((state) => state.list);
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
  const scopes: [string, string][] = [
    ["everyone", "everybody, each by themselves"],
    ...groups.map((one): [string, string] => [one.id, `group ${one.name}`]),
    ...users.map((one): [string, string] => [one.id, one.name]),
  ];
  return (
    <form className="limit-form" onSubmit={(event) => void submit(event)}>
      <Choice label="For" name="scope" options={scopes} />
      <label>
        At most
        <input name="amount" type="number" min={0} step="any" required />
      </label>
      <Choice label="Of" name="metric" options={METRICS} />
      <Choice label="In a" name="period" options={PERIODS} chosen="day" />
      <Choice label="Model" name="model" options={[["", "any"], ...models.map((one): [string, string] => [one.id, one.id])]} />
      <button className="primary">Set it</button>
    </form>
  );
}

const METRICS: [string, string][] = [
  ["requests", "requests"],
  ["tokens", "tokens"],
  ["cost", "money"],
];
const PERIODS: [string, string][] = [
  ["minute", "minute"],
  ["day", "day"],
  ["month", "month"],
];

function Choice({ label, name, options, chosen }: { label: string; name: string; options: [string, string][]; chosen?: string }) {
  return (
    <label>
      {label}
      <select name={name} defaultValue={chosen}>
        {options.map(([value, text]) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}

function LimitRow({ limit, name, act }: { limit: Limit; name: string | undefined; act: Act }) {
  const isMoney = limit.metric === "cost";
  return (
    <tr>
      <td>{limit.scope === "everyone" ? "everybody" : (name ?? limit.scope)}</td>
      <td className="number">{isMoney ? money(limit.amount) : number(limit.amount)}</td>
      <td>{isMoney ? "money" : limit.metric}</td>
      <td>{limit.period}</td>
      <td>{limit.model ?? "any"}</td>
      <td className="acts">
        {limit.configured ? (
          <span className="badge">configured</span>
        ) : (
          <button
            className="quiet small"
            aria-label={`Delete the limit of ${limit.metric} a ${limit.period}`}
            onClick={() => void act(call(`${PATH}/${limit.id}`, { method: "DELETE" }))}
          >
            Delete
          </button>
        )}
      </td>
    </tr>
  );
}
