import { createRoot } from "react-dom/client";
import { App } from "./app";
import { applyTheme } from "./state/theme";
import "./styles/index.css";

applyTheme();
createRoot(document.getElementById("page")!).render(<App />);
