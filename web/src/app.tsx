import { useEffect } from "react";
import { Login } from "./frame/login";
import { Notices } from "./frame/notices";
import { Shell } from "./frame/shell";
import { readModels } from "./state/models";
import { readConversations } from "./state/conversations";
import { look, useSession } from "./state/session";
import { tellError } from "./state/notices";

/** The page: who one is first, then the frame. */
export function App() {
  const state = useSession((session) => session.state);
  useEffect(() => void look(), []);
  useEffect(() => {
    if (state !== "in") return;
    readModels().catch(tellError);
    void readConversations();
  }, [state]);
  return (
    <>
      {state === "in" && <Shell />}
      {state === "out" && <Login />}
      {state === "unreachable" && <Unreachable />}
      <Notices />
    </>
  );
}

function Unreachable() {
  useEffect(() => {
    const timer = setInterval(() => void look(), 2000);
    return () => clearInterval(timer);
  }, []);
  return (
    <main className="gate">
      <h1>Antiphon</h1>
      <p role="status">The server cannot be reached. This page goes on as soon as it answers.</p>
    </main>
  );
}
