* Transistors of the bundled technology cmos45: BSIM4, both channel types.
*
* The numbers are this project's own. Those of nfet were fitted to measurements of a 45 nm n-channel transistor,
* 120 nm x 1 um at 27 C (on-resistance against gate and drain voltage, drain current, gm, gds, off current, gate
* capacitance, slope of weak inversion; 90 nm x 50 nm for the short channel): tests/netlists/test_model_card.py has
* them. pfet is the same transistor with the oxide (27 fF/um^2) and mobility (mu Cox about 150 uA/V^2) of holes.
*
* toxe oxide; vth0 k1 threshold and its body effect; dvt0 its fall in short channels; u0 ub mobility and its fall with
* the vertical field; vsat a0 rdsw saturation; pclm pdiblc2 output conductance; nfactor voff weak inversion;
* agidl bgidl egidl leakage from drain to bulk, which sets the off current; cgso cgdo overlap; cjs cjsws cjswgs junctions;
* delta how abruptly saturation begins: BSIM4's 0.01 V takes 3 to 20 % off the conductance without voltage but not off its
* noise, which must be 4kT of it (Nyquist); tnoimod=2 gives 2qI in weak inversion (Schottky). Left out: 1/f noise (fnoimod=0,
* kf=0) and induced gate noise (rnoib), to which belong conductances that no quasi-static capacitance shows.
* What is 0, and pscbe2, switches an effect off that BSIM4 has on by default.
.model nfet nmos level=14 version=4.7 tnom=27
+ toxe=1.15n vth0=0.4025 k1=0.3 dvt0=0.72 xj=20n
+ u0=0.0250 ub=7.6e-19 vsat=65k a0=1.55 rdsw=80 pclm=0.9 pdiblc2=0.002
+ nfactor=0.3 voff=-0.1485 agidl=5.7e-12 bgidl=1e8 egidl=0.2
+ cgso=1e-10 cgdo=1e-10 cjs=5e-4 cjsws=4e-10 cjswgs=4e-10
+ ua=0 ua1=0 ub1=0 k2=0 k3=0 lpe0=0 eta0=0.005 pdiblc1=0 pscbe2=1e-12
+ delta=1e-3 tnoimod=2 rnoib=1e-3 fnoimod=0
.model pfet pmos level=14 version=4.7 tnom=27
+ toxe=1.28n vth0=-0.4025 k1=0.3 dvt0=0.72 xj=20n
+ u0=0.0087 ub=7.6e-19 vsat=65k a0=1.55 rdsw=160 pclm=0.9 pdiblc2=0.002
+ nfactor=0.3 voff=-0.1485 agidl=5.7e-12 bgidl=1e8 egidl=0.2
+ cgso=1e-10 cgdo=1e-10 cjs=5e-4 cjsws=4e-10 cjswgs=4e-10
+ ua=0 ua1=0 ub1=0 k2=0 k3=0 lpe0=0 eta0=0.005 pdiblc1=0 pscbe2=1e-12
+ delta=1e-3 tnoimod=2 rnoib=1e-3 fnoimod=0
