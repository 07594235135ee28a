// Hands what opencode does to thence, in the form of Claude Code's hooks; it never disturbs it.
import { spawnSync } from "node:child_process"

export const Thence = async ({ directory }) => {
  const parents = {}
  const fire = (hook_event_name, id, members) => {
    const agent = parents[id] && { agent_id: id }
    const names = { hook_event_name, session_id: parents[id] ?? id, cwd: directory, ...agent }
    const input = JSON.stringify({ ...names, ...members })
    const options = { cwd: directory, input, stdio: ["pipe", "ignore", "ignore"], timeout: 10000 }
    try {
      spawnSync("sh", [HELPER, "opencode"], options)
    } catch {}
  }
  const call = ({ tool, callID }, tool_input) => ({ tool_name: tool, tool_use_id: callID, tool_input })
  return {
    "chat.message": async ({ sessionID }, { message, parts }) => {
      const texts = parts.filter((part) => part.type === "text" && !part.synthetic)
      const prompt = texts.map((part) => part.text).join("\n")
      fire("UserPromptSubmit", sessionID, { prompt, prompt_id: message.id })
    },
    "tool.execute.before": async (input, { args }) =>
      fire("PreToolUse", input.sessionID, call(input, args)),
    "tool.execute.after": async (input, { output, metadata }) =>
      fire("PostToolUse", input.sessionID, { ...call(input, input.args), tool_response: { output, metadata } }),
    event: async ({ event: { type, properties } }) => {
      const { id, parentID } = properties.info ?? {}
      if (type === "session.created" && parentID) parents[id] = parents[parentID] ?? parentID
      if (type === "session.created") fire(parentID ? "SubagentStart" : "SessionStart", id, {})
      if (type === "session.deleted") fire("SessionEnd", id, { reason: "deleted" })
      const session = properties.sessionID
      if (type === "session.idle") fire(parents[session] ? "SubagentStop" : "Stop", session, {})
    },
  }
}
