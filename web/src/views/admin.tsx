import { useSession } from "../state/session";
import { Audit } from "./admin/audit";
import { Groups } from "./admin/groups";
import { Invites } from "./admin/invites";
import { Limits } from "./admin/limits";
import { Now } from "./admin/now";
import { Providers } from "./admin/providers";
import { RuntimeSettings } from "./admin/settings";
import { AllUsage } from "./admin/usage";
import { Users } from "./admin/users";
import { Sections } from "./parts";
import type { ViewProps } from "./registry";
import "../styles/plot.css";

const ALL: [string, string][] = [
  ["now", "Now"],
  ["usage", "Usage"],
  ["users", "Users"],
  ["groups", "Groups"],
  ["invites", "Invites"],
  ["limits", "Limits"],
  ["providers", "Providers"],
  ["settings", "Settings"],
  ["audit", "Audit log"],
];

/** What administrators see and do; the server refuses everybody else, whatever is shown. */
export default function Admin({ rest }: ViewProps) {
  const admin = useSession((session) => session.me?.role === "admin");
  const [section = "now"] = rest;
  if (!admin) {
    return (
      <div className="view">
        <h1>Administration</h1>
        <p>This is for administrators.</p>
      </div>
    );
  }
  return (
    <div className="view">
      <h1>Administration</h1>
      <Sections view="admin" open={section} all={ALL} />
      {section === "now" && <Now />}
      {section === "usage" && <AllUsage />}
      {section === "users" && <Users />}
      {section === "groups" && <Groups />}
      {section === "invites" && <Invites />}
      {section === "limits" && <Limits />}
      {section === "providers" && <Providers />}
      {section === "settings" && <RuntimeSettings />}
      {section === "audit" && <Audit />}
    </div>
  );
}
