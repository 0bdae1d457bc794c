import { useSession } from "../state/session";
import { Sections } from "./parts";
import type { ViewProps } from "./registry";
import { Answers } from "./settings/answers";
import { Files } from "./settings/files";
import { Keys } from "./settings/keys";
import { Own } from "./settings/own";
import { Password } from "./settings/password";
import { Profile } from "./settings/profile";
import { Prompts } from "./settings/prompts";
import { Sessions } from "./settings/sessions";
import { Appearance } from "./settings/appearance";
import { Usage } from "./settings/usage";
import "../styles/plot.css";

const ALL: [string, string][] = [
  ["profile", "Profile"],
  ["answers", "Answers"],
  ["prompts", "Prompts"],
  ["appearance", "Appearance"],
  ["usage", "Usage"],
  ["files", "Files"],
  ["data", "Your data"],
  ["password", "Password"],
  ["keys", "API keys"],
  ["sessions", "Sessions"],
];
/** What belongs to an account that logs in; whoever came in without a credential has none of it. */
const OF_ACCOUNTS = new Set(["password", "keys", "sessions"]);

/** What belongs to oneself. */
export default function Settings({ rest }: ViewProps) {
  const local = useSession((session) => session.open);
  const [section = "profile"] = rest;
  const all = ALL.filter(([name]) => !local || !OF_ACCOUNTS.has(name));
  return (
    <div className="view">
      <h1>Settings</h1>
      <Sections view="settings" open={section} all={all} />
      {section === "profile" && <Profile />}
      {section === "answers" && <Answers />}
      {section === "prompts" && <Prompts />}
      {section === "appearance" && <Appearance />}
      {section === "usage" && <Usage />}
      {section === "files" && <Files />}
      {section === "data" && <Own />}
      {section === "password" && <Password />}
      {section === "keys" && <Keys />}
      {section === "sessions" && <Sessions />}
    </div>
  );
}
