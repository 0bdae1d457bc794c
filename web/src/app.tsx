import { lazy, Suspense, useEffect } from "react";
import { Boundary } from "./frame/boundary";
import { Login } from "./frame/login";
import { Notices } from "./frame/notices";
import { Shell } from "./frame/shell";
import { readModels } from "./state/models";
import { readPrompts } from "./state/prompts";
import { readConversations } from "./state/conversations";
import { useRoute } from "./state/router";
import { look, useSession } from "./state/session";
import { tellError } from "./state/notices";

const Shared = lazy(() => import("./views/shared"));
const SignUp = lazy(() => import("./views/signup"));

/** The page: what a link shares needs no account; for all else who one is comes first, then the frame. */
export function App() {
  const shared = useRoute((route) => (route.view === "shared" ? (route.rest[0] ?? null) : null));
  const state = useSession((session) => session.state);
  const invited = useRoute((route) => route.view === "signup");
  const invite = useRoute((route) => (route.view === "signup" ? (route.rest[0] ?? null) : null));
  if (invited && state !== "in") {
    return (
      <Boundary>
        <Suspense>
          <SignUp invite={invite} />
        </Suspense>
      </Boundary>
    );
  }
  if (shared === null) return <Own />;
  return (
    <>
      <Boundary>
        <Suspense>
          <Shared key={shared} token={shared} />
        </Suspense>
      </Boundary>
      <Notices />
    </>
  );
}

function Own() {
  const state = useSession((session) => session.state);
  useEffect(() => void look(), []);
  useEffect(() => {
    if (state !== "in") return;
    readModels().catch(tellError);
    readPrompts().catch(() => undefined); // preferences are asked for again with the first question
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
