// The title of a layer in words: the service names the message and its values.

import { text } from "../messages.js";

const GROUP = "layer.";

export const titleOf = ({ title, values }) => text(`layer.${title.slice(GROUP.length)}`, values);
