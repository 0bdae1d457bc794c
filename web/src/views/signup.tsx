import { useEffect, useState, type FormEvent } from "react";
import { ApiError, call, messageOf } from "../api/client";
import { go, link } from "../state/router";
import { logIn } from "../state/session";
import { Problem } from "./parts";

const TAKEN = "This name cannot be had. If it is yours already, log in with its password.";

interface Registration {
  mode: "closed" | "invite" | "open";
  message: string;
}

/** Making an account, by oneself or with an invite, where the administrators let people. */
export default function SignUp({ invite }: { invite: string | null }) {
  const [found, setFound] = useState<Registration | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    call<Registration>("/v1/auth/signup")
      .then(setFound)
      .catch((error: unknown) => setProblem(messageOf(error)));
  }, []);

  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const given = new FormData(event.currentTarget);
    const text = (name: string) => String(given.get(name) ?? "").trim() || null;
    const [username, password] = [text("username")!, String(given.get("password"))];
    setBusy(true);
    setProblem(null);
    try {
      await call("/v1/auth/signup", { body: { username, password, email: text("email"), invite: text("invite") } });
      // The server does not say whether the name was free: logging in does.
      await logIn(username, password).catch((error: unknown) => {
        throw error instanceof ApiError && error.status === 401 ? new Error(TAKEN) : error;
      });
      go("");
    } catch (error) {
      setProblem(messageOf(error));
      setBusy(false);
    }
  };

  return (
    <main className="gate">
      <h1>Antiphon</h1>
      {found?.mode === "closed" && <p>Nobody can sign up here.</p>}
      {found?.message && <p>{found.message}</p>}
      {found && found.mode !== "closed" && (
        <form className="card" onSubmit={(event) => void submit(event)}>
          <label>
            Name
            <input name="username" autoComplete="username" autoCapitalize="none" required maxLength={64} autoFocus />
          </label>
          <label>
            E-mail address (may be left out)
            <input name="email" type="email" autoComplete="email" maxLength={254} />
          </label>
          <label>
            Password
            <input name="password" type="password" autoComplete="new-password" required minLength={8} maxLength={256} />
          </label>
          {found.mode === "invite" && (
            <label>
              Invite
              <input name="invite" required defaultValue={invite ?? ""} autoComplete="off" />
            </label>
          )}
          <Problem text={problem} />
          <button className="primary" disabled={busy}>
            {busy ? "Signing up…" : "Sign up"}
          </button>
        </form>
      )}
      {!found && <Problem text={problem} />}
      <a href={link("")}>Log in instead</a>
    </main>
  );
}
