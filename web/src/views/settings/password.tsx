import { useState, type FormEvent } from "react";
import { call, messageOf } from "../../api/client";
import { tell } from "../../state/notices";
import { keep } from "../../state/session";
import { Problem } from "../parts";

/** A new password, which ends all other sessions. */
export function Password() {
  const [problem, setProblem] = useState<string | null>(null);
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = event.currentTarget;
    const given = new FormData(form);
    if (given.get("new_password") !== given.get("again")) {
      setProblem("The new password stands there twice, differently.");
      return;
    }
    try {
      const body = { current_password: given.get("current_password"), new_password: given.get("new_password") };
      const login = await call<{ access_token: string }>("/v1/auth/password", { body });
      await keep(login.access_token);
      form.reset();
      setProblem(null);
      tell("The password is changed; all other sessions have ended.");
    } catch (error) {
      setProblem(messageOf(error));
    }
  };
  return (
    <form className="form narrow" onSubmit={(event) => void submit(event)}>
      <label>
        Password as it is
        <input name="current_password" type="password" autoComplete="current-password" required />
      </label>
      <label>
        New password
        <input name="new_password" type="password" autoComplete="new-password" minLength={8} maxLength={256} required />
      </label>
      <label>
        The new one again
        <input name="again" type="password" autoComplete="new-password" required />
      </label>
      <Problem text={problem} />
      <button className="primary">Change it</button>
    </form>
  );
}
