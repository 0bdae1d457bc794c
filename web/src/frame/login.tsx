import { useEffect, useState, type FormEvent } from "react";
import { call, messageOf } from "../api/client";
import { openNew } from "../state/chat";
import { forgetConversations } from "../state/conversations";
import { link } from "../state/router";
import { logIn } from "../state/session";

interface Provider {
  id: string;
  label: string;
  login_url: string;
}

/** Where credentials are required: name and password, or a login provider. */
export function Login() {
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const [providers, setProviders] = useState<Provider[]>([]);
  const [open, setOpen] = useState(false);
  useEffect(() => {
    // Nothing of whoever was here before stays for whoever comes next.
    openNew();
    forgetConversations();
  }, []);
  useEffect(() => {
    call<{ data: Provider[] }>("/v1/auth/oidc")
      .then(({ data }) => setProviders(data))
      .catch(() => undefined);
    call<{ mode: string }>("/v1/auth/signup")
      .then(({ mode }) => setOpen(mode !== "closed"))
      .catch(() => undefined);
  }, []);

  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    setBusy(true);
    setProblem(null);
    try {
      await logIn(String(form.get("username")), String(form.get("password")));
    } catch (error) {
      setProblem(messageOf(error));
      setBusy(false);
    }
  };

  return (
    <main className="gate">
      <h1>Antiphon</h1>
      <form className="card" onSubmit={(event) => void submit(event)}>
        <label>
          Name or e-mail address
          <input name="username" autoComplete="username" autoCapitalize="none" required autoFocus />
        </label>
        <label>
          Password
          <input name="password" type="password" autoComplete="current-password" required />
        </label>
        {problem && (
          <p className="problem" role="alert">
            {problem}
          </p>
        )}
        <button className="primary" disabled={busy}>
          {busy ? "Logging in…" : "Log in"}
        </button>
        {providers.map((one) => (
          <a key={one.id} className="button quiet" href={`${one.login_url}?next=%2F`}>
            Log in with {one.label}
          </a>
        ))}
      </form>
      {open && <a href={link("signup")}>Make an account</a>}
    </main>
  );
}
