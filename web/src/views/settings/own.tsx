import { useEffect, useRef, useState } from "react";
import { messageOf } from "../../api/client";
import { Confirm } from "../../frame/dialog";
import { openNew } from "../../state/chat";
import { deleteAll } from "../../state/conversations";
import { bringChats, type Brought } from "../../state/importing";
import { Download } from "../download";
import { number, Problem } from "../parts";

const FORMS: [string, string, string][] = [
  ["zip", "Everything, as files (ZIP)", "antiphon.zip"],
  ["json", "Everything, for another server (JSON)", "antiphon.json"],
];

const STATES: [keyof Brought, string][] = [
  ["new", "new"],
  ["grown", "longer than before"],
  ["same", "here already"],
  ["empty", "without a message"],
  ["left", "left out"],
  ["failed", "not readable"],
];

/** Taking along everything of one's own, and bringing along what one has elsewhere. */
export function Own() {
  return (
    <section>
      <p>All your conversations with all their branches, your collections and settings; with your files in the ZIP. It is made while it is sent, so it may take a while.</p>
      <div className="row downloads">
        {FORMS.map(([format, text, name]) => (
          <Download key={format} path={`/v1/export?format=${format}`} name={name}>
            {text}
          </Download>
        ))}
      </div>
      <Bring />
      <DeleteAll />
    </section>
  );
}

/** What ends when one leaves the page. */
function useLeaving(): () => AbortSignal {
  const leaving = useRef(new AbortController());
  useEffect(() => {
    leaving.current = new AbortController();
    return () => leaving.current.abort();
  }, []);
  return () => leaving.current.signal;
}

type Step = { sent: number; seen: number } | { brought: Brought } | { problem: string };

function Bring() {
  const input = useRef<HTMLInputElement>(null);
  const [step, setStep] = useState<Step | null>(null);
  const leaving = useLeaving();
  const bring = (file: File | undefined) => {
    if (!file) return;
    setStep({ sent: 0, seen: 0 });
    bringChats(file, (sent, seen) => setStep({ sent, seen }), leaving())
      .then((brought) => setStep({ brought }))
      .catch((error: unknown) => setStep({ problem: messageOf(error) }));
  };
  const busy = step !== null && "sent" in step;
  return (
    <section>
      <h2>Chats from elsewhere</h2>
      <p className="note">What ChatGPT, Claude, LibreChat, Open WebUI or another Antiphon exported, as it came. Nothing comes twice, whatever is brought again.</p>
      <input
        ref={input}
        type="file"
        hidden
        aria-label="Exported chats"
        onChange={(event) => {
          bring(event.target.files?.[0]);
          event.target.value = "";
        }}
      />
      <button className="quiet" disabled={busy} onClick={() => input.current?.click()}>
        Bring chats along
      </button>
      {busy && (
        <p role="status">
          {step.sent < 1 ? <progress aria-label="Sending the file" value={step.sent} /> : `${number(step.seen)} chats looked at …`}
        </p>
      )}
      {step && "brought" in step && <p role="status">{summary(step.brought)}</p>}
      {step && "problem" in step && <Problem text={step.problem} />}
    </section>
  );
}

type Deleting = { gone: number; done: boolean } | { problem: string };

function DeleteAll() {
  const [asking, setAsking] = useState(false);
  const [step, setStep] = useState<Deleting | null>(null);
  const leaving = useLeaving();
  const begin = () => {
    openNew(); // what is open would say that it was deleted
    setStep({ gone: 0, done: false });
    deleteAll((gone) => setStep({ gone, done: false }), leaving())
      .then((gone) => setStep({ gone, done: true }))
      .catch((error: unknown) => setStep({ problem: messageOf(error) }));
  };
  const busy = step !== null && "gone" in step && !step.done;
  return (
    <section>
      <h2>Every chat</h2>
      <p className="note">Deletes all conversations of yours, archived ones too. Files, collections and what others share with you stay.</p>
      <button className="quiet" disabled={busy} onClick={() => setAsking(true)}>
        Delete all chats
      </button>
      {step && "gone" in step && <p role="status">{step.done ? `${number(step.gone)} deleted.` : `${number(step.gone)} deleted …`}</p>}
      {step && "problem" in step && <Problem text={step.problem} />}
      {asking && (
        <Confirm
          title="Delete all chats?"
          text="All your conversations with all their branches will be gone. Take them along first if you may want them again."
          action="Delete all"
          onClose={() => setAsking(false)}
          onConfirm={begin}
        />
      )}
    </section>
  );
}

function summary(brought: Brought): string {
  const said = STATES.filter(([state]) => brought[state]).map(([state, words]) => `${number(brought[state])} ${words}`);
  return said.length ? `Chats: ${said.join(", ")}.` : "There were no chats in it.";
}
