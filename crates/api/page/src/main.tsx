import "./styles/base.css";
import "./styles/layout.css";
import "./styles/chat.css";
import "./styles/picture.css";
import { render } from "preact";
import { App } from "./app";
import { watchService } from "./endpoint/service";

const root = document.getElementById("page");
if (root) {
  render(<App />, root);
  void watchService();
}
