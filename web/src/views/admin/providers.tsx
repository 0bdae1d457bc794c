import { useState, type FormEvent } from "react";
import { call, messageOf } from "../../api/client";
import { Dialog, Submit } from "../../frame/dialog";
import { Icon } from "../../frame/icons";
import { Menu, MenuItem } from "../../frame/menu";
import { useList } from "../../state/lists";
import { tell, tellError } from "../../state/notices";
import { number, Problem, Table } from "../parts";

const PATH = "/v1/admin/providers";

interface Provider {
  id: string;
  base_url: string;
  key: { set: boolean; source: string | null; settable: boolean };
  state: "closed" | "half_open" | "open";
  retry_in_seconds: number;
  last_error: string | null;
  calls: number;
  failures: number;
  retries: number;
  refused: number;
}

const STATES = { closed: "well", half_open: "being tried again", open: "failing" };

/** Model providers: how they do, whether they answer now, and their keys, which are written and never read. */
export function Providers() {
  const { list, problem, act } = useList<Provider>(PATH);
  return (
    <section>
      <Problem text={problem} />
      {list && (
        <Table label="Providers" columns={["Provider", "Health", "#Calls", "#Failed", "#Retried", "Key", ""]}>
          {list.map((one) => (
            <ProviderRow key={one.id} provider={one} act={act} />
          ))}
        </Table>
      )}
    </section>
  );
}

function ProviderRow({ provider, act }: { provider: Provider; act: (done: Promise<unknown>) => Promise<boolean> }) {
  const [setting, setSetting] = useState(false);
  const path = `${PATH}/${encodeURIComponent(provider.id)}`;
  const probe = () =>
    call<{ healthy: boolean; latency_ms: number; detail: string | null }>(`${path}/probe`, { method: "POST" })
      .then((found) =>
        tell(
          found.healthy ? `${provider.id} answered in ${found.latency_ms} ms.` : `${provider.id} does not answer: ${found.detail ?? "no reason"}`,
          found.healthy ? "info" : "error",
        ),
      )
      .catch(tellError);
  return (
    <tr>
      <td className="file-name">
        {provider.id}
        {provider.base_url && <span className="note"> {provider.base_url}</span>}
        {setting && <NewKey provider={provider} path={path} act={act} onClose={() => setSetting(false)} />}
      </td>
      <td>
        <span className={provider.state === "closed" ? "badge good" : "badge bad"}>{STATES[provider.state]}</span>
        {provider.last_error && <span className="note"> {provider.last_error}</span>}
      </td>
      <td className="number">{number(provider.calls)}</td>
      <td className="number">{number(provider.failures)}</td>
      <td className="number">{number(provider.retries)}</td>
      <td>{provider.key.set ? (provider.key.source ?? "set") : provider.key.settable ? "none" : "needs none"}</td>
      <td className="acts">
        <Menu label={`More about ${provider.id}`} trigger={<Icon name="more" />}>
          {(close) => (
            <>
              <MenuItem onClick={() => (close(), void probe())}>Ask whether it answers</MenuItem>
              {provider.key.settable && <MenuItem onClick={() => (close(), setSetting(true))}>Set its key</MenuItem>}
              {provider.key.source === "stored" && (
                <MenuItem danger onClick={() => (close(), void act(call(`${path}/key`, { method: "DELETE" })))}>
                  Forget its key
                </MenuItem>
              )}
            </>
          )}
        </Menu>
      </td>
    </tr>
  );
}

function NewKey({
  provider,
  path,
  act,
  onClose,
}: {
  provider: Provider;
  path: string;
  act: (done: Promise<unknown>) => Promise<boolean>;
  onClose: () => void;
}) {
  const [problem, setProblem] = useState<string | null>(null);
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const key = new FormData(event.currentTarget).get("key");
    call(`${path}/key`, { method: "PUT", body: { key } })
      .then(() => act(Promise.resolve()))
      .then(onClose)
      .catch((error: unknown) => setProblem(messageOf(error)));
  };
  return (
    <Dialog title={`A key for ${provider.id}`} onClose={onClose}>
      <form className="form" onSubmit={submit}>
        <label>
          Key
          <input name="key" type="password" required minLength={8} maxLength={4096} autoComplete="off" data-first />
        </label>
        <p className="note">It is stored encrypted, and nobody can read it again.</p>
        <Problem text={problem} />
        <Submit onClose={onClose}>Set it</Submit>
      </form>
    </Dialog>
  );
}
