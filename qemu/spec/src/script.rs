// SPDX-License-Identifier: GPL-2.0

//! Reads a script of the specification's tests (wast): modules and assertions about them.

use crate::{
    features,
    known,
    program::{
        Part,
        Template, //
    },
    value::{
        Pattern,
        Value, //
    }, //
};
use std::{
    collections::{
        BTreeMap,
        HashMap, //
    },
    fmt, //
};
use wasmparser::{
    Payload,
    WasmFeatures, //
};
use wast::{
    QuoteWat,
    Wast,
    WastDirective,
    WastExecute,
    WastInvoke,
    Wat,
    lexer::Lexer,
    parser::{
        self,
        ParseBuffer, //
    },
    token::{
        Id,
        Span, //
    }, //
};

/// Reason why an assertion is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The assertion is about the text format.
    Text,
    /// The assertion is about a link error between modules.
    Linking,
    /// The assertion needs a reference that only a host can create.
    HostReference,
    /// The assertion depends on the state after a call that needs a host or that ends the program.
    Consequence,
    /// The assertion needs a proposal that the engine does not enable.
    ProposalOff,
    /// The module is asserted to be invalid, but is valid with a proposal that the engine enables.
    ProposalOn,
    /// The module exceeds a limit that the runner cannot raise.
    Limit,
    /// The assertion is about contents of custom sections.
    Custom,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "malformed text, which an engine never gets",
            Self::Linking => "link error between modules, which kwasmi does not link",
            Self::HostReference => "needs a host that creates an externref",
            Self::Consequence => "depends on a call that needs a host, or that ends the program",
            Self::ProposalOff => "needs a proposal that is not enabled",
            Self::ProposalOn => "valid with a proposal that is enabled",
            Self::Limit => "exceeds a limit that this runner cannot raise",
            Self::Custom => "custom sections are ignored",
        })
    }
}

/// Action on an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Instantiates the module.
    Instantiate,
    /// Calls an exported function.
    Invoke {
        /// Name of the export.
        name: String,
        /// Arguments.
        args: Vec<Value>,
    },
    /// Reads an exported global.
    Get {
        /// Name of the export.
        name: String,
    },
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instantiate => f.write_str("the module"),
            Self::Invoke { name, args } => write!(f, "{name:?} with {args:x?}"),
            Self::Get { name } => write!(f, "global {name:?}"),
        }
    }
}

/// Expected outcome of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The action returns, with any results.
    Return,
    /// The action returns these results.
    Results(Vec<Pattern>),
    /// The action traps, with this message of the specification.
    Trap(String),
    /// The action throws an exception that nothing catches.
    Exception,
    /// The action exhausts the stack.
    Exhaustion,
}

/// Action with its expected outcome.
#[derive(Clone, Debug)]
pub struct Step {
    /// Line in the script.
    pub line: usize,
    /// Index of the module, among the modules that are linked.
    pub part: usize,
    /// Action.
    pub action: Action,
    /// Expected outcome.
    pub expected: Expected,
}

impl Step {
    /// Returns the expected results, if they are specified.
    #[must_use]
    pub fn results(&self) -> Option<&[Pattern]> {
        match &self.expected {
            Expected::Results(patterns) => Some(patterns),
            _ => None,
        }
    }

    /// Returns true if the action is expected to return.
    #[must_use]
    pub fn returns(&self) -> bool {
        matches!(self.expected, Expected::Return | Expected::Results(_))
    }
}

/// Independent test.
#[derive(Clone, Debug)]
pub enum Test {
    /// Module that must be refused as invalid.
    Invalid {
        /// Binary of the module.
        wasm: Vec<u8>,
    },
    /// Module in binary format that must be accepted unchanged.
    Valid {
        /// Binary of the module.
        wasm: Vec<u8>,
    },
    /// Module with an import without a definition.
    Unlinkable {
        /// Binary of the module.
        wasm: Vec<u8>,
    },
    /// Single module that traps when it is instantiated.
    Uninstantiable {
        /// Module.
        template: Box<Template>,
        /// Message of the trap in the specification.
        message: String,
    },
    /// Module, or several linked modules, and the actions on them in order.
    Instances {
        /// Modules.
        template: Box<Template>,
        /// Actions.
        steps: Vec<Step>,
    },
}

/// Parsed script.
#[derive(Debug, Default)]
pub struct Script {
    /// Name of the script.
    pub name: String,
    /// Tests, each with the line where it begins.
    pub tests: Vec<(usize, Test)>,
    /// Skipped assertions: line and reason.
    pub skipped: Vec<(usize, Reason)>,
    /// Directives that cannot be processed: line and message.
    pub problems: Vec<(usize, String)>,
}

impl Script {
    /// Parses `text`, for an engine that supports the proposals `engine`.
    ///
    /// # Errors
    ///
    /// A message with the line of a syntax error.
    pub fn new(name: &str, text: &str, engine: WasmFeatures) -> Result<Self, String> {
        let describe = |error: wast::Error| format!("line {}: {}", line(text, error.span()), error.message());
        let mut lexer = Lexer::new(text);
        lexer.allow_confusing_unicode(true);
        let buffer = ParseBuffer::new_with_lexer(lexer).map_err(describe)?;
        let wast = parser::parse::<Wast<'_>>(&buffer).map_err(describe)?;
        let script = Self { name: name.to_owned(), ..Self::default() };
        let version = features::version(name, engine);
        let mut reader = Reader { text, engine, version, script, ..Reader::default() };
        for directive in wast.directives {
            reader.directive(directive);
        }
        Ok(reader.finish())
    }
}

fn line(text: &str, span: Span) -> usize {
    span.linecol_in(text).0 + 1
}

/// Instance in the script.
struct Instance {
    /// Module, or the reason why it is skipped.
    module: Result<Module, Reason>,
    /// Lowest index of the instances that it is linked with, directly or indirectly.
    group: usize,
}

struct Module {
    wasm: Vec<u8>,
    /// Index of the instance for each module name that it imports from.
    links: HashMap<String, usize>,
}

#[derive(Default)]
struct Reader<'a> {
    text: &'a str,
    /// Proposals that the engine supports.
    engine: WasmFeatures,
    /// Proposals that assertions of invalid modules assume.
    version: WasmFeatures,
    script: Script,
    instances: Vec<Instance>,
    /// Actions. `part` is an index into `instances`.
    steps: Vec<Step>,
    /// Instance for actions that name no module.
    current: Option<usize>,
    /// Instance of each identifier in the script.
    named: HashMap<String, usize>,
    /// Instance of each registered module name.
    registered: HashMap<String, usize>,
    /// Module definitions by identifier; the last one also without.
    definitions: HashMap<Option<String>, Vec<u8>>,
}

fn name(id: Option<Id<'_>>) -> Option<String> {
    id.map(|id| id.name().to_owned())
}

impl Reader<'_> {
    fn line(&self, span: Span) -> usize {
        line(self.text, span)
    }

    fn skip(&mut self, line: usize, reason: Reason) {
        self.script.skipped.push((line, reason));
    }

    fn problem(&mut self, line: usize, problem: impl ToString) {
        self.script.problems.push((line, problem.to_string()));
    }

    fn test(&mut self, line: usize, test: Test) {
        self.script.tests.push((line, test));
    }

    fn directive(&mut self, directive: WastDirective<'_>) {
        let line = self.line(directive.span());
        match directive {
            WastDirective::Module(module) => self.module(line, module),
            WastDirective::ModuleDefinition(mut module) => match module.encode() {
                Ok(wasm) => {
                    self.definitions.insert(name(module.name()), wasm.clone());
                    self.definitions.insert(None, wasm.clone());
                    if features::is_valid(&wasm, self.engine) {
                        self.test(line, Test::Valid { wasm });
                    } else {
                        self.skip(line, Reason::ProposalOff);
                    }
                }
                Err(error) => self.problem(line, error),
            },
            WastDirective::ModuleInstance { instance, module, .. } => {
                match self.definitions.get(&name(module)).cloned() {
                    Some(wasm) => self.instance(line, name(instance), wasm),
                    None => self.problem(line, "no such module"),
                }
            }
            WastDirective::AssertMalformed { module: QuoteWat::Wat(mut module), message, .. } => {
                match module.encode() {
                    // With multi-memory the zero byte is a memory index.
                    Ok(wasm) if message == "zero byte expected" && features::is_valid(&wasm, self.engine) => {
                        self.skip(line, Reason::ProposalOn);
                    }
                    Ok(wasm) => self.test(line, Test::Invalid { wasm }),
                    Err(error) => self.problem(line, error),
                }
            }
            WastDirective::AssertMalformed { .. } => self.skip(line, Reason::Text),
            WastDirective::AssertInvalid { mut module, .. } => match module.encode() {
                Ok(wasm) if !features::is_valid(&wasm, self.version) && features::is_valid(&wasm, self.engine) => {
                    self.skip(line, Reason::ProposalOn);
                }
                Ok(wasm) => self.test(line, Test::Invalid { wasm }),
                Err(_) => self.skip(line, Reason::Text),
            },
            WastDirective::AssertMalformedCustom { .. } | WastDirective::AssertInvalidCustom { .. } => {
                self.skip(line, Reason::Custom);
            }
            WastDirective::AssertUnlinkable { mut module, message, .. } => match module.encode() {
                Ok(_) if message != "unknown import" => self.skip(line, Reason::Linking),
                Ok(wasm) if !features::is_valid(&wasm, self.engine) => self.skip(line, Reason::ProposalOff),
                Ok(wasm) => self.test(line, Test::Unlinkable { wasm }),
                Err(error) => self.problem(line, error),
            },
            WastDirective::Register { name: to, module, .. } => match self.find(module) {
                Some(instance) => {
                    self.registered.insert(to.to_owned(), instance);
                }
                None => self.problem(line, "no such instance"),
            },
            WastDirective::Invoke(invoke) => self.step(line, WastExecute::Invoke(invoke), Some(Expected::Return)),
            WastDirective::AssertReturn { exec, results, .. } => {
                let patterns = results.iter().map(Pattern::new).collect::<Option<_>>();
                self.step(line, exec, patterns.map(Expected::Results));
            }
            WastDirective::AssertTrap { exec: WastExecute::Wat(module), message, .. } => {
                self.uninstantiable(line, module, message);
            }
            WastDirective::AssertTrap { exec, message, .. } => {
                self.step(line, exec, Some(Expected::Trap(message.to_owned())));
            }
            WastDirective::AssertExhaustion { call, .. } => {
                self.step(line, WastExecute::Invoke(call), Some(Expected::Exhaustion));
            }
            WastDirective::AssertException { exec, .. } => self.step(line, exec, Some(Expected::Exception)),
            WastDirective::AssertSuspension { .. } | WastDirective::Thread(_) | WastDirective::Wait { .. } => {
                self.skip(line, Reason::ProposalOff)
            }
        }
    }

    fn find(&self, module: Option<Id<'_>>) -> Option<usize> {
        match module {
            Some(id) => self.named.get(id.name()).copied(),
            None => self.current,
        }
    }

    fn module(&mut self, line: usize, mut module: QuoteWat<'_>) {
        let is_binary = matches!(
            &module,
            QuoteWat::Wat(Wat::Module(wast::core::Module { kind: wast::core::ModuleKind::Binary(_), .. }))
        );
        let id = name(module.name());
        match module.encode() {
            Ok(wasm) => {
                if is_binary && features::is_valid(&wasm, self.engine) {
                    self.test(line, Test::Valid { wasm: wasm.clone() });
                }
                self.instance(line, id, wasm);
            }
            Err(error) => self.problem(line, error),
        }
    }

    /// Resolves the instances that a module imports from.
    fn linked(&self, wasm: Vec<u8>) -> Result<Module, Reason> {
        if !features::is_valid(&wasm, self.engine) && features::is_valid(&wasm, features::ALL) {
            return Err(Reason::ProposalOff);
        }
        let mut links = HashMap::new();
        for payload in wasmparser::Parser::new(0).parse_all(&wasm) {
            let Ok(Payload::ImportSection(section)) = payload else { continue };
            for import in section.into_imports().flatten() {
                let Some(from) = self.registered.get(import.module) else { continue };
                if let Some(Instance { module: Err(reason), .. }) = self.instances.get(*from) {
                    return Err(*reason);
                }
                links.insert(import.module.to_owned(), *from);
            }
        }
        Ok(Module { wasm, links })
    }

    /// Adds an instance, and merges the groups of the instances that it imports from. Returns its
    /// index.
    fn add(&mut self, line: usize, module: Result<Module, Reason>, expected: Expected) -> usize {
        let index = self.instances.len();
        let groups: Vec<_> = module
            .iter()
            .flat_map(|module| module.links.values())
            .filter_map(|from| self.instances.get(*from).map(|instance| instance.group))
            .collect();
        let group = groups.iter().copied().min().unwrap_or(index);
        self.instances.iter_mut().filter(|instance| groups.contains(&instance.group)).for_each(|instance| {
            instance.group = group;
        });
        match &module {
            Ok(_) => self.steps.push(Step { line, part: index, action: Action::Instantiate, expected }),
            Err(reason) => self.skip(line, *reason),
        }
        self.instances.push(Instance { module, group });
        index
    }

    fn instance(&mut self, line: usize, id: Option<String>, wasm: Vec<u8>) {
        let module = self.linked(wasm);
        let index = self.add(line, module, Expected::Return);
        self.current = Some(index);
        if let Some(id) = id {
            self.named.insert(id, index);
        }
    }

    fn uninstantiable(&mut self, line: usize, mut module: Wat<'_>, message: &str) {
        let wasm = match module.encode() {
            Ok(wasm) => wasm,
            Err(error) => return self.problem(line, error),
        };
        match self.linked(wasm) {
            Ok(module) if module.links.is_empty() => {
                match Template::new(&[Part { wasm: module.wasm, links: HashMap::new() }]) {
                    Ok(template) => {
                        let (template, message) = (Box::new(template), message.to_owned());
                        self.test(line, Test::Uninstantiable { template, message });
                    }
                    Err(problem) => self.problem(line, problem),
                }
            }
            module => {
                self.add(line, module, Expected::Trap(message.to_owned()));
            }
        }
    }

    fn step(&mut self, line: usize, exec: WastExecute<'_>, expected: Option<Expected>) {
        let (module, action) = match exec {
            WastExecute::Invoke(WastInvoke { module, name, args, .. }) => {
                let args = args.iter().map(Value::new).collect::<Option<_>>();
                (module, args.map(|args| Action::Invoke { name: name.to_owned(), args }))
            }
            WastExecute::Get { module, global, .. } => (module, Some(Action::Get { name: global.to_owned() })),
            WastExecute::Wat(_) => return self.problem(line, "a module"),
        };
        let found = self.find(module).and_then(|part| Some((part, &self.instances.get(part)?.module)));
        let reason = match (found, action, expected) {
            (None, _, _) => return self.problem(line, "no such instance"),
            (Some((_, Err(reason))), _, _) => *reason,
            _ if known::is_consequence(&self.script.name, line) => Reason::Consequence,
            (Some((part, Ok(_))), Some(action), Some(expected)) => {
                return self.steps.push(Step { line, part, action, expected });
            }
            (Some((_, Ok(_))), _, _) => Reason::HostReference,
        };
        self.skip(line, reason);
    }

    fn finish(mut self) -> Script {
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, instance) in self.instances.iter().enumerate() {
            if instance.module.is_ok() {
                groups.entry(instance.group).or_default().push(index);
            }
        }
        let steps = std::mem::take(&mut self.steps);
        for members in groups.into_values() {
            // Parts are numbered within their group.
            let number = |part: usize| members.iter().position(|member| *member == part);
            let steps: Vec<_> =
                steps.iter().filter_map(|step| number(step.part).map(|part| Step { part, ..step.clone() })).collect();
            let line = steps.first().map_or(0, |step| step.line);
            let parts = members.iter().filter_map(|member| self.instances.get(*member)?.module.as_ref().ok());
            let parts = parts.map(|module| Part {
                wasm: module.wasm.clone(),
                links: module.links.iter().filter_map(|(name, from)| Some((name.clone(), number(*from)?))).collect(),
            });
            match Template::new(&parts.collect::<Vec<_>>()) {
                Ok(template) => self.test(line, Test::Instances { template: Box::new(template), steps }),
                Err(problem) => self.problem(line, problem),
            }
        }
        self.script
    }
}
