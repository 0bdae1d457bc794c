import { useState } from "react";
import { bearerToken, send } from "../api/client";
import { tellError } from "../state/notices";

interface Offered {
  path: string;
  name: string;
  small?: boolean;
  label?: string;
  children: string;
}

/** A link where the browser's cookie says who asks; where there is none the page fetches it first. */
export function Download({ path, name, small, label, children }: Offered) {
  const [busy, setBusy] = useState(false);
  if (!bearerToken()) {
    return (
      <a className={small ? "button quiet small" : "button quiet"} href={path} download={name} aria-label={label}>
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
    <button className={small ? "quiet small" : "quiet"} disabled={busy} aria-label={label} onClick={() => void fetchIt()}>
      {children}
    </button>
  );
}
