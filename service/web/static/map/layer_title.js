// The title of a layer in words, the service names the message and its values; and the time that a layer is of.

import { clock, text } from "../messages.js";

const GROUP = "layer.";

export const titleOf = ({ title, values }) => text(`layer.${title.slice(GROUP.length)}`, values);

// "14:00–15:00" of a layer that is one picture of that time, whichever frame is chosen; "" of one that frames have.
export const spanOf = ({ start, end }, options) => (start ? `${clock(start, options)}–${clock(end, options)}` : "");
