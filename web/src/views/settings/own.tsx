import { useState } from "react";
import { bearerToken, send } from "../../api/client";
import { tellError } from "../../state/notices";

const FORMS: [string, string, string][] = [
  ["zip", "Everything, as files (ZIP)", "antiphon.zip"],
  ["json", "Everything, for another server (JSON)", "antiphon.json"],
];

/** Taking along everything of one's own. */
export function Own() {
  return (
    <section>
      <p>All your conversations with all their branches. It is made while it is sent, so it may take a while.</p>
      <div className="row downloads">
        {FORMS.map(([format, text, name]) => (
          <Download key={format} path={`/v1/export?format=${format}`} name={name}>
            {text}
          </Download>
        ))}
      </div>
    </section>
  );
}

/** A link where the browser's cookie says who asks; where there is none the page fetches it first. */
function Download({ path, name, children }: { path: string; name: string; children: string }) {
  const [busy, setBusy] = useState(false);
  if (!bearerToken()) {
    return (
      <a className="button quiet" href={path} download={name}>
        {children}
      </a>
    );
  }
  const fetchIt = async () => {
    setBusy(true);
    try {
      const place = URL.createObjectURL(await (await send(path)).blob());
      Object.assign(document.createElement("a"), { href: place, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(place), 60_000);
    } catch (error) {
      tellError(error);
    }
    setBusy(false);
  };
  return (
    <button className="quiet" disabled={busy} onClick={() => void fetchIt()}>
      {children}
    </button>
  );
}
