import { createRoot } from "react-dom/client";
import { App } from "./app";
import { tellNames } from "./frame/tooltips";
import { applyTheme } from "./state/theme";
import "./styles/index.css";

applyTheme();
tellNames();
createRoot(document.getElementById("page")!).render(<App />);
